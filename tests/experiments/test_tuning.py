"""Candidates are chosen on training images that are held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions
from hvrt_diffuser.experiments.tuning import tune, validation_split
from hvrt_diffuser.image_models import VQVAEEstimator
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import MixtureEstimator

CPU = torch.device("cpu")
MakeExperiment = Callable[..., ExperimentOptions]
VQ = {"codes": 16, "width": 8, "prior_width": 8, "prior_layers": 1, "training_steps": 20}
COMPONENTS = [{"sampler.components": k} for k in (40, 3, 1)]
RATES = [{"sampler.learning_rate": rate} for rate in (1e-8, 3e-3)]
WEIGHTS = [{"autoencoder.regulariser": {"kind": "mmd", "weight": w}} for w in (1.0, 1e6)]
EFFORT = {"steps": 2, "epochs": 2, "share": 0.25, "draws": 100}


def tuned(
    bench: Bench, base: BaseOptions, options: ExperimentOptions, folder: Path
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    assert bench.autoencoder is not None
    return tune("x", bench.train, bench.judge, bench.autoencoder, base, options, folder)


def split(bench: Bench, n: int) -> tuple[Any, Any]:
    rows = validation_split(len(bench.train), n, derive_seed(0, "rivals", "tuning"))
    few, fresh = (bench.train[each] for each in rows)
    return few, fresh


def test_held_out_images_are_not_fitted_on() -> None:
    fitted, held_out = validation_split(100, 30, seed=0)
    assert len(held_out) == 30
    assert sorted([*fitted.tolist(), *held_out.tolist()]) == list(range(100))
    with pytest.raises(InputError, match="60 of 100 training images would be held out"):
        validation_split(100, 60, seed=0)


def test_the_best_candidate_on_held_out_images_is_chosen_and_tried_once(
    bench: Bench, base: BaseOptions, make_experiment: MakeExperiment, tmp_path: Path
) -> None:
    options = make_experiment(
        {
            "mixture": {"candidates": COMPONENTS},
            "gaussian": {"candidates": [{}]},
            "second_stage_vae": {"candidates": [{"sampler.width": 8}, {"sampler.width": 16}]},
            "wae": {"samplers": ["hvrt"], "candidates": WEIGHTS},
        },
        tuning=EFFORT,
    )
    best, measured = tuned(bench, base, options, tmp_path)
    assert [entry["group"] for entry in measured] == (
        ["mixture"] * 3 + ["second_stage_vae"] * 2 + ["wae"] * 2
    ), "one candidate needs no trial"
    mixtures, weights = measured[:3], measured[-2:]
    winner = min(mixtures, key=lambda entry: entry["fd_classifier"])
    assert best["mixture"] == winner["changes"]
    assert best["gaussian"] == {}
    assert weights[0]["fd_classifier"] != weights[1]["fd_classifier"]
    assert best["wae"] == min(weights, key=lambda entry: entry["fd_classifier"])["changes"]
    # The same as by hand, on the training images that are left.
    few, fresh = split(bench, options.n)
    own = Bench(
        few, fresh, bench.judge, n=300, compared=100, device=CPU, autoencoder=bench.autoencoder
    )
    seed = derive_seed(0, "rivals", "tuning")
    sampler = MixtureEstimator(components=3).fit(own.latents, few.labels, seed=seed)
    drawn = own.draw(HVRTDiffuser(bench.autoencoder, sampler), seed).drawn
    assert mixtures[1]["fd_classifier"] == own.frechet(drawn.images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MixtureEstimator, "fit", lambda *a, **k: pytest.fail("it was tried before"))
        assert tuned(bench, base, options, tmp_path) == (best, measured)


def test_whole_models_are_tuned_with_a_share_of_their_training(
    bench: Bench, base: BaseOptions, make_experiment: MakeExperiment, tmp_path: Path
) -> None:
    pytest.importorskip("diffusers")
    jobs = {"vq_vae": {"options": VQ, "candidates": RATES}}
    options = make_experiment(jobs, tuning=EFFORT)
    best, measured = tuned(bench, base, options, tmp_path)
    few, fresh = split(bench, options.n)
    own = Bench(few, fresh, bench.judge, n=100, compared=100, device=CPU)
    seed = derive_seed(0, "rivals", "tuning")
    alike = VQVAEEstimator(**{**VQ, "training_steps": 5, "learning_rate": 3e-3})
    model = alike.fit(few.images, few.labels, seed=seed, device=CPU)
    drawn = own.draw(HVRTDiffuser(None, model), seed).drawn
    assert measured[1]["fd_classifier"] == own.frechet(drawn.images)
    assert best["vq_vae"] == min(measured, key=lambda e: e["fd_classifier"])["changes"]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"candidates": [{}, {"sampler.components": 0}]}, "components is 0"),
        ({"candidates": [{}, {"sampler.componnents": 3}]}, "did you mean components"),
        (
            {"candidates": [{}, {"sampler.components": 3, "autoencoder.beta": 1.0}]},
            "changes the autoencoder and the sampler",
        ),
    ],
)
def test_a_candidate_that_cannot_be_is_refused_before_any_trial(
    bench: Bench,
    base: BaseOptions,
    make_experiment: MakeExperiment,
    tmp_path: Path,
    group: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(InputError, match=said):
        tuned(bench, base, make_experiment({"mixture": group}), tmp_path)
    assert not list(tmp_path.iterdir())

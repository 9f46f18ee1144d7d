"""Which images are known at first, and what a warm start keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions, Runner, expand, summarise
from hvrt_diffuser.experiments.warm_start import WarmStartRunner, take_known
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import HVRTEstimator, SmoothedBootstrap

MakeRunner = Callable[..., Runner]
MakeExperiment = Callable[..., ExperimentOptions]


def test_the_known_images_are_a_share_of_each_class(digits: LabelledImages) -> None:
    train = digits[torch.arange(1000)]
    known = take_known(train, 0.3, seed=0)
    of_all, of_known = (torch.bincount(images.labels) for images in (train, known))
    assert ((of_known - 0.3 * of_all).abs() <= 0.5).all()
    held = {image.numpy().tobytes() for image in train.images}
    assert all(image.numpy().tobytes() in held for image in known.images)
    assert torch.equal(known.images, take_known(train, 0.3, seed=0).images)
    assert not torch.equal(known.images, take_known(train, 0.3, seed=1).images)


@pytest.mark.slow
def test_a_warm_start_keeps_the_trees_and_takes_all_latents(
    make_runner: MakeRunner,
    make_experiment: MakeExperiment,
    base: BaseOptions,
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both: dict[str, Any] = {"samplers": ["hvrt"], "grid": {"conditional": [False, True]}}
    jobs = {name: {**both, "start": name} for name in ("known", "warm")}
    options = make_experiment({**jobs, "cold": both}, seeds=1, warm_start={"epochs": 1})
    refitted: list[tuple[SmoothedBootstrap, SmoothedBootstrap]] = []
    refit = HVRTEstimator.refit

    def remember(self: HVRTEstimator, first: Any, *arguments: Any, **others: Any) -> Any:
        found = refit(self, first, *arguments, **others)
        refitted.append((first, found))
        return found

    monkeypatch.setattr(HVRTEstimator, "refit", remember)
    made = make_runner(options, tmp_path, kind=WarmStartRunner)
    rows = {row["row"]: row for row in summarise(made.run(expand("x", options, base), "x"))}
    assert set(rows) == {
        f"{name}, conditional {given}"
        for name in ("known", "warm", "cold")
        for given in (False, True)
    }
    for first, found in refitted:
        assert (len(first.latents), len(found.latents)) == (1250, 2500)
        assert first.overall.forest is not None and found.overall.forest is not None
        trees, kept = (each.overall.forest.packed()[0] for each in (first, found))
        assert all(torch.equal(tensor, kept[name]) for name, tensor in trees.items())
    known, warm, cold = (rows[f"{name}, conditional False"] for name in ("known", "warm", "cold"))
    floors = [row["copy_floor"] for row in (known, warm, cold)]
    assert len(set(floors)) == 3, "three autoencoders"
    assert len(list((tmp_path / "autoencoders").glob("*.safetensors"))) == 2
    assert "autoencoder" not in cold["of"], "it is the run's own"
    given = rows["warm, conditional True"]
    assert given["fd_classifier"] != warm["fd_classifier"], "its draws are asked for by class"


def test_a_sampler_without_trees_has_no_warm_start(
    make_runner: MakeRunner, make_experiment: MakeExperiment, base: BaseOptions, tmp_path: Path
) -> None:
    options = make_experiment({"warm": {"samplers": ["gaussian"], "start": "warm"}})
    made = make_runner(options, tmp_path, kind=WarmStartRunner)
    with pytest.raises(InputError, match="goes on from a gaussian, which has no trees to keep"):
        made.run(expand("x", options, base), "x")

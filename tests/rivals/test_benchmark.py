"""Rivals on real digits: rows with known answers, an interrupted table, the picture."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from hvrt_diffuser.autoencoders import Architecture, Autoencoder, TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier import ImageYardstick, Yardstick
from hvrt_diffuser.image_models import PixelDiffusionEstimator, VQVAEEstimator
from hvrt_diffuser.image_models.dvp_vae import DVPVAEEstimator
from hvrt_diffuser.rivals import (
    PRIORS,
    Ledger,
    PriorName,
    Rival,
    Shared,
    autoencoder_rivals,
    autoencoder_trials,
    check_generators,
    chosen,
    compare_speed,
    generator_rivals,
    generator_trials,
    measure_rivals,
    measures,
    plot_rivals,
    prior_rivals,
    prior_trials,
    run_trials,
    speed,
    summarise,
    tuned_generators,
    validation_split,
)
from hvrt_diffuser.rivals.likelihood import binary_images, negative_elbo
from hvrt_diffuser.samplers import (
    FlowMapEstimator,
    HVRTEstimator,
    MixtureEstimator,
    SamplerEstimator,
)
from hvrt_diffuser.sweeps import AutoencoderStore, Yardsticks
from hvrt_diffuser.training.checkpoint import Checkpoint

CPU = torch.device("cpu")

CLASSIFIER = ClassifierOptions(
    width=8,
    steps=30,
    batch_size=64,
    learning_rate=0.01,
    weight_decay=0.01,
    precision="float32",
)
SHARED = Shared(
    HVRTEstimator(min_samples_leaf=5),
    FlowMapEstimator(
        width=32,
        blocks=2,
        training_steps=100,
        batch_size=128,
        precision="float32",
        solver_steps=4,
        trajectories=2000,
        distillation_steps=50,
    ),
)
CHEAP = ("hvrt", "standard_normal", "gaussian_per_class", "interpolation")


def cheap(yardstick: Yardstick) -> list[Rival]:
    unchanged: dict[str, Any] = {name: {} for name in CHEAP}
    return prior_rivals(yardstick, unchanged, SHARED, CLASSIFIER, seeds=2, network_seeds=1)


@pytest.fixture(scope="module")
def entries(yardstick: Yardstick, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    ledger = Ledger(tmp_path_factory.mktemp("entries"), {})
    return measure_rivals(cheap(yardstick), ledger, seed=0)


@pytest.fixture(scope="module")
def rows(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["rival"]: row for row in summarise(entries)}


def lasting(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs from call to call."""
    fleeting = ("train_seconds", "ms_per_image", "peak_mb")
    return [{k: v for k, v in entry.items() if k not in fleeting} for entry in entries]


def test_every_name_has_a_prior_and_every_prior_a_name() -> None:
    assert set(PRIORS) == set(typing.get_args(PriorName))


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_is_built_from_the_shared_options(name: str, yardstick: Yardstick) -> None:
    estimator: SamplerEstimator = PRIORS[name].build(SHARED)
    sampler = estimator.fit(yardstick.latents, yardstick.train.labels, seed=0)
    assert sampler.latent_dim == 8
    assert sampler.n_classes == 10
    steps = getattr(estimator, "training_steps", 100)
    assert steps == 100, "networks have one budget"
    assert PRIORS[name].network == hasattr(estimator, "training_steps")


def test_networks_have_repetitions_of_their_own(yardstick: Yardstick) -> None:
    both: dict[str, Any] = {"hvrt": {}, "latent_flow": {}}
    found = prior_rivals(yardstick, both, SHARED, CLASSIFIER, seeds=3, network_seeds=2)
    assert {rival.name: rival.seeds for rival in found} == {"hvrt": 3, "latent_flow": 2}


def test_what_knows_nothing_of_the_latents_is_worst(rows: dict[str, dict[str, Any]]) -> None:
    worst = rows["standard_normal"]
    for name in ("hvrt", "gaussian_per_class", "interpolation"):
        row = rows[name]
        assert row["fd"] < worst["fd"]
        assert row["kid"] < worst["kid"]
        assert row["tstr"] > worst["tstr"]
        assert row["coverage"] > worst["coverage"]


def test_what_starts_from_rows_is_nearer_to_them(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["hvrt"]["dcr_image"] < rows["gaussian_per_class"]["dcr_image"]
    assert rows["gaussian_per_class"]["attribution"] is None
    assert rows["hvrt"]["attribution"] > 0.8


def test_a_row_has_means_and_the_most_memory(entries: list[dict[str, Any]]) -> None:
    one = next(entry for entry in entries if entry["rival"] == "hvrt")
    other = {**one, "fd": one["fd"] + 2, "peak_mb": one["peak_mb"] + 10}
    (row,) = summarise([other, one])
    assert row["seeds"] == 2
    assert row["fd"] == pytest.approx(one["fd"] + 1)
    assert row["fd_std"] == pytest.approx(2**0.5)
    assert row["peak_mb"] == other["peak_mb"]
    assert summarise([one, {**one, "peak_mb": None}])[0]["peak_mb"] is None


def test_sizes_are_those_of_the_file(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["standard_normal"]["parameters"] == 0
    # Of ten classes a mean, a covariance's factor and where the only component ends.
    components, d = 10, 8
    assert rows["gaussian_per_class"]["parameters"] == components * (d + d * d + components)
    assert rows["interpolation"]["parameters"] == 2500 * 8
    assert rows["interpolation"]["stored_bytes"] > 2500 * 8 * 4


def test_times_are_per_image_and_fall_with_the_batch(rows: dict[str, dict[str, Any]]) -> None:
    for row in rows.values():
        assert set(row["ms_per_image"]) == {"1", "64", "1024"}
        assert row["ms_per_image"]["1"] > row["ms_per_image"]["1024"] > 0
        assert row["train_seconds"] >= 0


def test_a_table_that_was_cut_off_goes_on(
    yardstick: Yardstick, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    rivals, ledger = cheap(yardstick), Ledger(tmp_path, {})

    def cut(seed: int) -> dict[str, Any]:
        raise KeyboardInterrupt

    cut_off = [*rivals[:3], replace(rivals[3], measure=cut)]
    with pytest.raises(KeyboardInterrupt):
        measure_rivals(cut_off, ledger, seed=0)
    kept = ledger.entries()
    assert [entry["rival"] for entry in kept] == [rival.name for rival in rivals[:3]]
    went_on = measure_rivals(rivals, Ledger(tmp_path, {}), seed=0)
    assert went_on[:3] == kept, "times and all: it was not measured again"
    assert lasting(went_on) == lasting(entries)


def test_an_entry_of_other_options_is_not_taken_for_this_rival(tmp_path: Path) -> None:
    calls = []

    def made_by(options: str) -> list[str]:
        def measure(seed: int) -> dict[str, Any]:
            calls.append(options)
            return {"made_by": options}

        rival = Rival("one", "a rival", {"options": options}, 1, measure)
        return [e["made_by"] for e in measure_rivals([rival], Ledger(tmp_path, {}), seed=0)]

    assert [made_by(options) for options in ("old", "new", "old")] == [["old"], ["new"], ["old"]]
    assert calls == ["old", "new"]


# ---- other autoencoders


@pytest.fixture(scope="module")
def yardsticks(yardstick: Yardstick, tmp_path_factory: pytest.TempPathFactory) -> Yardsticks:
    store = AutoencoderStore(tmp_path_factory.mktemp("autoencoders"), yardstick.train, CPU)
    return Yardsticks(
        yardstick.train,
        yardstick.test,
        yardstick._judge,
        store,
        n=1000,
        compared=500,
        device=CPU,
    )


def other_autoencoders(
    yardsticks: Yardsticks, training: TrainingOptions, changes: Any, vae_priors: Any = None
) -> list[Rival]:
    return autoencoder_rivals(
        yardsticks,
        training,
        changes,
        {"hvrt": {}, "standard_normal": {}},
        vae_priors or {},
        SHARED,
        CLASSIFIER,
        seeds=1,
    )


def test_a_second_stage_belongs_to_a_vae(
    yardsticks: Yardsticks, make_options: Callable[..., TrainingOptions]
) -> None:
    changes = {"vae": {"beta": 1.0}, "wae": {"regulariser": {"kind": "mmd", "weight": 50.0}}}
    second = {"second_stage_vae": {"width": 16}}
    rivals = other_autoencoders(yardsticks, make_options(latent_dim=8), changes, second)
    assert [r.name for r in rivals if r.of["changes"]] == ["vae + second_stage_vae"]
    assert len(rivals) == 5


def test_every_autoencoder_has_every_prior(
    yardsticks: Yardsticks, make_options: Callable[..., TrainingOptions], tmp_path: Path
) -> None:
    training = make_options(latent_dim=8, width=8, epochs=2)
    changes = {"vae": {"beta": 1.0}, "wae": {"regulariser": {"kind": "mmd", "weight": 50.0}}}
    rivals = other_autoencoders(yardsticks, training, changes)
    entries = measure_rivals(rivals, Ledger(tmp_path, {}), seed=0)
    rows = {row["rival"]: row for row in summarise(entries)}
    assert set(rows) == {f"{a} + {p}" for a in changes for p in ("hvrt", "standard_normal")}
    for name, row in rows.items():
        assert (row["nelbo"] is not None) == name.startswith("vae")
        assert row["copy_floor"] == rows[f"{name.split()[0]} + hvrt"]["copy_floor"]
        # Labels that are drawn beside N(0, I) have nothing to do with it.
        assert (row["tstr"] > 30) == name.endswith("hvrt")
    assert len({row["copy_floor"] for row in rows.values()}) == 2, "floors are of one's own"
    assert len(list(yardsticks.store.folder.glob("*.safetensors"))) == 2


def test_an_autoencoder_that_cannot_be_trained_is_refused(
    yardsticks: Yardsticks, make_options: Callable[..., TrainingOptions]
) -> None:
    with pytest.raises(InputError, match=r"autoencoders.odd has .*bta"):
        other_autoencoders(yardsticks, make_options(), {"odd": {"bta": 1.0}})


def test_the_bound_of_a_vae_is_that_of_torch(digits: LabelledImages) -> None:
    torch.manual_seed(0)
    model = Autoencoder(Architecture((1, 28, 28), 4, 4, 2, variational=True)).eval()
    images = digits.images[::50]
    x = binary_images(images)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, binary_images(images))
    with torch.no_grad():
        mean, log_variance = model.encode(images.float() / 255)  # what it was trained on
        assert log_variance is not None
        posterior = Normal(mean, (log_variance / 2).exp())
        divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
        terms = []
        for _ in range(20):
            decoded = Bernoulli(logits=model.decode(posterior.sample()))
            terms.append(divergence - decoded.log_prob(x).flatten(1).sum(1))
        expected = torch.stack(terms).mean().item()
    found = negative_elbo(model, images, seed=0, device=CPU)
    assert found == pytest.approx(expected, rel=0.01)
    assert negative_elbo(model, images.expand(-1, 3, -1, -1), seed=0, device=CPU) is None


# ---- tuning


COMPONENTS = ({"components": 40}, {"components": 3}, {"components": 1})


def test_the_best_candidate_on_held_out_images_is_chosen(
    yardstick: Yardstick, tmp_path: Path
) -> None:
    candidates = {"mixture": COMPONENTS, "gaussian": ({},)}
    trials = prior_trials(yardstick, candidates, SHARED, steps=10, seed=0)
    assert [trial.rival for trial in trials] == ["mixture"] * 3, "one candidate needs no trial"
    entries = run_trials(trials, Ledger(tmp_path, {}))
    best = min(entries, key=lambda entry: entry["fd"])
    assert chosen(candidates, entries) == {"mixture": best["changes"], "gaussian": {}}
    sampler = MixtureEstimator(components=3).fit(yardstick.latents, yardstick.train.labels, seed=0)
    assert entries[1]["fd"] == yardstick.frechet(yardstick.draw(sampler, 0).images)


def test_networks_are_tuned_with_fewer_steps(yardstick: Yardstick, tmp_path: Path) -> None:
    candidates = {"second_stage_vae": ({"width": 8}, {"width": 16})}
    trials = prior_trials(yardstick, candidates, SHARED, steps=2, seed=0)
    entries = run_trials(trials, Ledger(tmp_path, {}))
    assert [entry["effort"] for entry in entries] == [{"steps": 2}] * 2


def test_a_candidate_is_tried_once(yardstick: Yardstick, tmp_path: Path) -> None:
    trials = prior_trials(yardstick, {"mixture": COMPONENTS}, SHARED, steps=10, seed=0)

    def fail() -> float:
        raise AssertionError("it was tried before")

    first = run_trials(trials, Ledger(tmp_path, {}))
    again = [replace(trial, measure=fail) for trial in trials]
    assert run_trials(again, Ledger(tmp_path, {})) == first
    more = [replace(trial, measure=fail, effort={"steps": 11}) for trial in trials]
    with pytest.raises(AssertionError, match="tried before"):
        run_trials(more, Ledger(tmp_path, {}))


def test_autoencoders_are_tuned_with_a_mixture(
    yardsticks: Yardsticks, make_options: Callable[..., TrainingOptions], tmp_path: Path
) -> None:
    several = tuple({"regulariser": {"kind": "mmd", "weight": w}} for w in (1.0, 1e6))
    trials = autoencoder_trials(
        yardsticks,
        make_options(latent_dim=8, width=8),
        {"wae": several, "vae": ({"beta": 1.0},)},
        SHARED,
        epochs=2,
        seed=0,
    )
    entries = run_trials(trials, Ledger(tmp_path, {}))
    assert [entry["changes"] for entry in entries] == list(several)
    # So great a weight leaves nothing to tell digits apart by.
    assert entries[0]["fd"] < entries[1]["fd"]


def test_held_out_images_are_not_fitted_on() -> None:
    fitted, held_out = validation_split(100, 30, seed=0)
    assert len(held_out) == 30
    assert sorted([*fitted.tolist(), *held_out.tolist()]) == list(range(100))
    with pytest.raises(InputError, match="60 of 100 training images would be held out"):
        validation_split(100, 60, seed=0)


def small_yardstick(yardstick: Yardstick, n: int, compared: int) -> ImageYardstick:
    few, test = (each[torch.arange(0, 2500, 10)] for each in (yardstick.train, yardstick.test))
    return ImageYardstick(few, test, yardstick._judge, n=n, compared=compared, device=CPU)


def test_whole_models_are_tuned_with_a_share_of_their_training(
    yardstick: Yardstick, tmp_path: Path
) -> None:
    pytest.importorskip("diffusers")
    estimators = {
        "vq_vae": VQVAEEstimator(
            codes=16, width=8, prior_width=8, prior_layers=1, training_steps=20
        ),
        "dvp_vae": DVPVAEEstimator(epochs=1),
    }
    rates = ({"learning_rate": 1e-8}, {"learning_rate": 0.003})
    candidates = {"vq_vae": rates, "dvp_vae": rates[1:]}
    small = small_yardstick(yardstick, n=100, compared=50)
    trials = generator_trials(small, estimators, candidates, share=0.25, seed=0)
    assert [trial.rival for trial in trials] == ["vq_vae"] * 2, "one candidate needs no trial"
    entries = run_trials(trials, Ledger(tmp_path, {}))
    assert [entry["effort"]["options"]["training_steps"] for entry in entries] == [5, 5]
    assert [entry["effort"]["draws"] for entry in entries] == [100, 100]
    alike = estimators["vq_vae"].model_copy(update={"training_steps": 5, **rates[1]})
    few = small.train
    model = alike.fit(few.images, few.labels, seed=0, device=CPU)
    assert entries[1]["fd"] == small.frechet(measures.draw_images(small, model, 0)[0])
    best = tuned_generators(estimators, chosen(candidates, entries))
    winner = min(entries, key=lambda entry: entry["fd"])["changes"]
    assert best["vq_vae"].model_dump() == {**estimators["vq_vae"].model_dump(), **winner}
    assert best["dvp_vae"].model_dump() == {**estimators["dvp_vae"].model_dump(), **rates[1]}


def test_a_share_of_a_training_is_never_none() -> None:
    for estimator in (PixelDiffusionEstimator(), VQVAEEstimator()):
        assert estimator.shortened(0.1).training_steps == 600
        assert estimator.shortened(1e-9).training_steps == 1
    assert DVPVAEEstimator().shortened(0.5).epochs == 2, "the setting has four"
    assert DVPVAEEstimator(epochs=3).shortened(0.1).epochs == 1


def test_a_whole_model_that_cannot_be_is_refused(yardstick: Yardstick) -> None:
    estimators, wrong = {"vq_vae": VQVAEEstimator()}, {"learning_rate": 0}
    with pytest.raises(InputError, match=r"benchmark.generator_candidates.vq_vae has .*refused"):
        tuned_generators(estimators, {"vq_vae": wrong})
    with pytest.raises(InputError, match=r"benchmark.generator_candidates.vq_vae has .*refused"):
        generator_trials(yardstick, estimators, {"vq_vae": ({}, wrong)}, share=1, seed=0)


@pytest.mark.parametrize("changes", [{"components": 0}, {"componnents": 3}])
def test_a_candidate_that_cannot_be_is_refused_before_any_trial(
    yardstick: Yardstick, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"benchmark.rivals.mixture has .*refused at comp"):
        prior_trials(yardstick, {"mixture": ({}, changes)}, SHARED, steps=1, seed=0)


# ---- whole models


@pytest.fixture(scope="module")
def models(yardstick: Yardstick, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("diffusers")
    rivals = generator_rivals(
        small_yardstick(yardstick, n=200, compared=100),
        {
            "pixel_diffusion": PixelDiffusionEstimator(
                channels=(8, 8), training_steps=3, batch_size=8, steps=2
            ),
            "vq_vae": VQVAEEstimator(
                codes=16, width=8, prior_width=8, prior_layers=1, training_steps=3
            ),
            "dvp_vae": DVPVAEEstimator(epochs=1),
        },
        tmp_path_factory.mktemp("generators"),
        CLASSIFIER,
        seeds=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "BATCHES", (1, 8))  # how large a batch is does not matter here
        entries = measure_rivals(rivals, Ledger(tmp_path_factory.mktemp("entries"), {}), seed=0)
    return {row["rival"]: row for row in summarise(entries)}


def test_images_that_a_whole_model_cannot_be_trained_on_are_refused_first(
    digits: LabelledImages,
) -> None:
    estimators = {"vq_vae": VQVAEEstimator(), "dvp_vae": DVPVAEEstimator()}
    check_generators(estimators, digits)
    wide = LabelledImages(
        digits.images.repeat(1, 1, 1, 2), digits.labels, digits.class_names, digits.source
    )
    with pytest.raises(InputError, match=r"dvp_vae cannot be trained: images of shape .*28, 56"):
        check_generators(estimators, wide)


def test_whole_models_have_rows_like_the_others(
    models: dict[str, Any], rows: dict[str, dict[str, Any]]
) -> None:
    assert set(models) == {"pixel_diffusion", "vq_vae", "dvp_vae"}
    for row in models.values():
        assert row.keys() == rows["hvrt"].keys()
        assert row["fd"] > 0
        assert row["parameters"] > 1000
        assert set(row["ms_per_image"]) == {"1", "8"}


def test_a_model_whose_training_was_cut_off_does_not_say_how_long_it_took(
    yardstick: Yardstick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    few = yardstick.train[torch.arange(0, 2500, 10)]
    small = ImageYardstick(few, yardstick.test, yardstick._judge, n=100, compared=50, device=CPU)
    estimator = PixelDiffusionEstimator(channels=(8, 8), training_steps=3, batch_size=8, steps=2)
    (rival,) = generator_rivals(
        small, {"pixel_diffusion": estimator}, tmp_path, CLASSIFIER, seeds=1
    )
    monkeypatch.setattr(measures, "BATCHES", (1,))
    write = Checkpoint.write

    def die(self: Checkpoint, *arguments: Any) -> None:
        write(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", die)
    with pytest.raises(KeyboardInterrupt):
        rival.measure(0)
    monkeypatch.setattr(Checkpoint, "write", write)
    assert rival.measure(0)["train_seconds"] is None
    assert list(tmp_path.iterdir()) == [], "what is measured needs no state of its training"
    assert rival.measure(0)["train_seconds"] > 0


class Labeller:
    """Draws images whose every pixel is their class, and counts them."""

    device, drawn = CPU, 0

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        self.drawn += n
        labels = torch.zeros(n, dtype=torch.long) if labels is None else labels
        return labels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28), labels


def test_both_sets_of_a_whole_model_come_from_the_same_draws(yardstick: Yardstick) -> None:
    rare = yardstick.train[(yardstick.train.labels > 0) | (torch.arange(2500) < 50)]
    uneven = ImageYardstick(rare, yardstick.test, yardstick._judge, n=205, compared=100, device=CPU)
    model = Labeller(10)
    images, rows = measures.draw_images(uneven, model, 0)  # type: ignore[arg-type]
    classes = images[:, 0, 0, 0].long()
    assert torch.equal(
        torch.bincount(classes, minlength=10),
        torch.bincount(uneven.proportional_labels(0), minlength=10),
    )
    assert not torch.equal(classes, classes.sort().values), "the first of them are compared"
    balanced, labels = rows["draws"](1)
    assert torch.bincount(labels).tolist() == 5 * [21] + 5 * [20]
    assert torch.equal(balanced[:, 0, 0, 0].long(), labels)
    assert 205 < model.drawn < 230


def test_a_whole_model_without_classes_draws_one_set(yardstick: Yardstick) -> None:
    model = Labeller(1)
    images, rows = measures.draw_images(yardstick, model, 0)  # type: ignore[arg-type]
    assert len(images) == model.drawn == yardstick.n
    assert rows == {}


def test_what_knows_no_classes_trains_no_classifier(models: dict[str, Any]) -> None:
    assert models["dvp_vae"]["tstr"] is None
    assert models["dvp_vae"]["nelbo"] > 0
    assert models["vq_vae"]["tstr"] is not None
    assert models["vq_vae"]["nelbo"] is None


def test_real_images_are_fresh_and_training_images_are_copies(yardstick: Yardstick) -> None:
    own = ImageYardstick(
        yardstick.train, yardstick.test, yardstick._judge, n=1000, compared=500, device=CPU
    )
    fresh, copied = (own.place_images(each.images[:1000]) for each in (own.test, own.train))
    assert fresh.dcr_image == pytest.approx(1, abs=0.05)
    assert fresh.dcr_feature == pytest.approx(1, abs=0.05)
    assert copied.dcr_image == copied.dcr_feature == 0
    assert own.authentic(own.test.images[:1000]) == pytest.approx(own.authentic_fresh, abs=0.1)
    assert own.authentic(own.train.images[:1000]) == 0
    assert own.authentic(255 - own.train.images[:1000]) == 1


# ---- times


def test_times_are_per_image_and_of_all_steps(
    yardstick: Yardstick, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    sampler = SHARED.hvrt.fit(yardstick.latents, yardstick.train.labels)
    monkeypatch.setattr(speed, "ROUNDS", 2)
    assert "ddpm" not in compare_speed(yardstick, sampler, None)
    monkeypatch.setattr(speed, "DDPM_STEPS", 4)
    estimator = PixelDiffusionEstimator(channels=(8, 8), training_steps=1, batch_size=8, steps=1)
    few = yardstick.train[torch.arange(100)]
    diffusion = estimator.fit(few.images, few.labels, seed=0, device=CPU)
    steps = []
    monkeypatch.setattr(
        diffusion.network,
        "forward",
        lambda x, t, labels: steps.append(int(t)) or x,
    )
    found = compare_speed(yardstick, sampler, diffusion)
    assert len(steps) == found["ddpm_steps"] == 4
    assert found["ddpm_over_hvrt"] == found["ddpm"] / found["hvrt"]
    assert min(found["hvrt"], found["vae_reparameterisation"], found["hvrt_over_vae"]) > 0


def test_the_picture_names_every_rival(rows: dict[str, dict[str, Any]]) -> None:
    figure: Figure = plot_rivals(list(rows.values()))
    speed, novelty = figure.axes
    for axes in (speed, novelty):
        assert {text.get_text() for text in axes.texts} == {n.replace("_", " ") for n in rows}


def test_names_cover_neither_each_other_nor_points(rows: dict[str, dict[str, Any]]) -> None:
    crowd = [{**rows["hvrt"], "rival": f"rival_{i}", "fd": 5 + 0.3 * i} for i in range(8)]
    figure = plot_rivals([*rows.values(), *crowd])
    figure.draw_without_rendering()
    for axes in figure.axes:
        names = [Text.get_window_extent(text) for text in axes.texts]  # without its line
        points = [axes.transData.transform(line.get_xydata())[0] for line in axes.lines]
        for i, name in enumerate(names):
            assert not any(name.overlaps(other) for other in names[:i])
            assert not any(name.contains(*point) for point in points)


def test_other_autoencoders_have_a_panel_of_their_own(rows: dict[str, dict[str, Any]]) -> None:
    other = {**rows["hvrt"], "rival": "rae_l2 + hvrt", "of": {"ae_training": {}}, "fd": 3.0}
    _, novelty, autoencoders = plot_rivals([*rows.values(), other]).axes
    assert len(novelty.texts) == len(rows)
    (points,) = autoencoders.lines
    assert points.get_label() == "hvrt"
    found = dict(zip(points.get_ydata(), points.get_xdata(), strict=True))
    assert found == {"the run's own": rows["hvrt"]["fd"], "rae l2": 3.0}

"""Rivals on real digits: rows with known answers, an interrupted table, the picture."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from matplotlib.figure import Figure

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.frontier import Yardstick
from hvrt_diffuser.rivals import (
    PRIORS,
    PriorName,
    Shared,
    measure_rivals,
    plot_rivals,
    summarise,
)
from hvrt_diffuser.samplers import FlowMapEstimator, HVRTEstimator, SamplerEstimator

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
    components=3,
)
CHEAP = ("hvrt", "standard_normal", "gaussian_per_class", "interpolation")


def measured(yardstick: Yardstick, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"seeds": 2, "seed": 0, **changes}
    return measure_rivals(yardstick, CHEAP, SHARED, CLASSIFIER, **arguments)


@pytest.fixture(scope="module")
def entries(yardstick: Yardstick) -> list[dict[str, Any]]:
    return measured(yardstick)


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
    yardstick: Yardstick, entries: list[dict[str, Any]]
) -> None:
    kept: list[list[dict[str, Any]]] = []

    def cut(found: list[dict[str, Any]]) -> None:
        kept.append(list(found))
        if len(kept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(yardstick, keep=cut)
    again: list[int] = []
    went_on = measured(yardstick, done=kept[-1], keep=lambda found: again.append(len(found)))
    assert again == [4, 5, 6, 7, 8]
    assert lasting(went_on) == lasting(entries)


def test_the_picture_names_every_rival(rows: dict[str, dict[str, Any]]) -> None:
    figure: Figure = plot_rivals(list(rows.values()))
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {n.replace("_", " ") for n in rows}

"""The frontier on real digits: points with known answers, an interrupted table, the picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hvrt_diffuser.autoencoders import encode_augmented
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.frontier import (
    APPROACHES,
    FLOORS,
    ImageYardstick,
    Yardstick,
    measure_frontier,
    plot_frontier_of_samplers,
    summarise,
)
from hvrt_diffuser.frontier.approaches import Fits
from hvrt_diffuser.pipelines.sampler_frontier.parameters import FrontierOptions
from hvrt_diffuser.samplers import Draws, FlowMapEstimator, HVRTEstimator, LatentFlow

CPU = torch.device("cpu")
CLASSIFIER = ClassifierOptions(
    width=8,
    steps=30,
    batch_size=64,
    learning_rate=0.01,
    weight_decay=0.01,
    precision="float32",
)
HVRT = HVRTEstimator(min_samples_leaf=5)
FLOW = FlowMapEstimator(
    width=32,
    blocks=2,
    training_steps=200,
    batch_size=128,
    precision="float32",
    solver_steps=4,
    trajectories=2000,
    distillation_steps=100,
)
SMALL_MOVES = Augmentation(copies=1)
POINTS = {"epanechnikov": (0.0, 1.0, 3.0), "flow_map": (0.5,), "flow_map_augmented": (0.5,)}


def measured(yardstick: Yardstick, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"seeds": 2, "seed": 0, **changes}
    return measure_frontier(yardstick, POINTS, HVRT, FLOW, Augmentation(), CLASSIFIER, **arguments)


@pytest.fixture(scope="module")
def entries(yardstick: Yardstick) -> list[dict[str, Any]]:
    return measured(yardstick)


@pytest.fixture(scope="module")
def rows(entries: list[dict[str, Any]]) -> dict[tuple[str, float | None], dict[str, Any]]:
    return {(row["sampler"], row["strength"]): row for row in summarise(entries)}


def without_times(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if "seconds" not in k} for entry in entries]


Rows = dict[tuple[str, float | None], dict[str, Any]]


def test_every_point_and_every_floor_has_a_row(rows: Rows) -> None:
    wanted = {(name, s) for name, strengths in POINTS.items() for s in strengths}
    assert set(rows) == wanted | {(floor, None) for floor in FLOORS}
    assert all(row["seeds"] == 2 for row in rows.values())


def test_no_noise_gives_copies(rows: Rows) -> None:
    copies, floor = rows["epanechnikov", 0.0], rows["copy_floor", None]
    assert copies["dcr_latent"] < 1e-3
    assert copies["dcr_image"] == copies["dcr_feature"] == 0
    assert copies["attribution"] == 1
    assert copies["fd"] == pytest.approx(floor["fd"], rel=0.15)


class Scripted:
    """Gives latents of given labels, ever again."""

    latent_dim, n_classes, device, origin = 8, 10, CPU, {}

    def __init__(self, yardstick: Yardstick, labels: list[int]) -> None:
        self.yardstick, self.labels, self.given = yardstick, labels, 0
        self.counts = torch.bincount(yardstick.train.labels)

    def draw(self, n: int, labels: Any = None, *, generator: torch.Generator) -> Draws:
        places = torch.arange(self.given, self.given + n) % len(self.labels)
        self.given += n
        wanted = torch.tensor(self.labels)[places]
        ordered = self.yardstick.train.labels.sort(stable=True)
        rows = torch.searchsorted(ordered.values, wanted) + places % 50
        return Draws(self.yardstick.latents[ordered.indices[rows]], wanted, rows)


def test_classes_are_measured_in_their_real_proportions(yardstick: Yardstick) -> None:
    """Whatever the proportions of the draws, and the first of each class count."""
    fair, unfair = (list(range(10)) * times + extra for times, extra in ((1, []), (1, [0] * 5)))
    points = [yardstick.measure(Scripted(yardstick, labels), seed=0) for labels in (fair, unfair)]  # type: ignore[arg-type]
    assert points[0].attribution == points[1].attribution == 1
    assert points[0].fd == pytest.approx(points[1].fd, rel=0.1)
    twice = [yardstick.measure(Scripted(yardstick, unfair), seed=0).fd for _ in range(2)]  # type: ignore[arg-type]
    assert twice[0] == twice[1]


class Asked:
    """Remembers which classes it was asked for, and gives copies of them."""

    latent_dim, n_classes, device, origin = 8, 10, CPU, {}

    def __init__(self, yardstick: Yardstick) -> None:
        self.yardstick, self.labels = yardstick, torch.empty(0)
        self.counts = torch.bincount(yardstick.train.labels)

    def draw(self, n: int, labels: Any = None, *, generator: torch.Generator) -> Draws:
        self.labels = labels
        order = torch.argsort(self.yardstick.train.labels, stable=True)
        rows = torch.searchsorted(self.yardstick.train.labels[order], labels)
        return Draws(self.yardstick.latents[order[rows]], labels, rows)


def test_conditional_draws_are_asked_for_in_the_real_proportions(yardstick: Yardstick) -> None:
    sampler = Asked(yardstick)
    point = yardstick.measure(sampler, seed=0, conditional=True)  # type: ignore[arg-type]
    real = torch.bincount(yardstick.train.labels) / len(yardstick.train)
    assert (torch.bincount(sampler.labels) / 1000 - real).abs().max() <= 1e-3
    assert (sampler.labels.sort().values != sampler.labels).any(), "in mixed order"
    assert point.attribution == 1


def test_test_images_that_come_by_class_are_as_far_as_fresh_ones(yardstick: Yardstick) -> None:
    """Their first ones are all of one class, and ones lie closer together than other digits."""
    order = torch.argsort((yardstick.test.labels != 1).long(), stable=True)
    own = ImageYardstick(
        yardstick.train, yardstick.test[order], yardstick._judge, n=1000, compared=200, device=CPU
    )
    shuffled = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
    found = own.place_images(yardstick.test.images[shuffled])
    assert found.dcr_image == pytest.approx(1, abs=0.1)
    assert found.dcr_feature == pytest.approx(1, abs=0.15)


def test_the_wider_the_kernel_the_more_novel(rows: Rows) -> None:
    points = [rows["epanechnikov", s] for s in (0.0, 1.0, 3.0)]
    assert points[0]["dcr_image"] < points[1]["dcr_image"] < points[2]["dcr_image"]
    assert points[1]["attribution"] >= points[2]["attribution"]


def test_floors_are_where_they_must_be(rows: Rows) -> None:
    assert rows["reconstruction_floor", None]["dcr_image"] == 1
    assert rows["copy_floor", None]["dcr_image"] == 0
    assert rows["real_floor", None]["fd"] < rows["copy_floor", None]["fd"]
    assert rows["real_floor", None]["tstr"] is not None


def test_evaluations_are_those_of_the_network(rows: Rows) -> None:
    assert rows["epanechnikov", 1.0]["evaluations"] == 0
    assert rows["flow_map", 0.5]["evaluations"] == 1


def test_draws_from_augmented_images_are_further_from_training_images(rows: Rows) -> None:
    plain, moved = rows["flow_map", 0.5], rows["flow_map_augmented", 0.5]
    assert moved["dcr_image"] > plain["dcr_image"]
    assert moved["evaluations"] == 1


def test_a_table_that_was_cut_off_goes_on(
    yardstick: Yardstick, entries: list[dict[str, Any]]
) -> None:
    kept: list[list[dict[str, Any]]] = []

    def cut(found: list[dict[str, Any]]) -> None:
        kept.append(list(found))
        if len(kept) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(yardstick, keep=cut)
    assert 0 < len(kept[-1]) < len(entries)
    again: list[int] = []
    went_on = measured(yardstick, done=kept[-1], keep=lambda found: again.append(len(found)))
    assert len(again) == 3, "what was there was measured again"
    assert without_times(went_on) == without_times(entries)


def test_points_that_are_added_are_measured_alone(
    yardstick: Yardstick, entries: list[dict[str, Any]]
) -> None:
    without = [e for e in entries if (e["sampler"], e["strength"]) != ("epanechnikov", 1.0)]
    again: list[int] = []
    whole = measured(yardstick, done=without, keep=lambda found: again.append(len(found)))
    assert len(again) == 2, "one strength, in each repetition"
    assert without_times(whole) == without_times(entries)


def test_points_that_are_not_asked_for_any_more_are_left_out(
    yardstick: Yardstick, entries: list[dict[str, Any]]
) -> None:
    other = {"sampler": "k_means", "strength": 9.0, "seed": 0}
    fewer = measured(yardstick, done=[other, *entries], seeds=1)
    assert without_times(fewer) == [e for e in without_times(entries) if e["seed"] == 0]


def test_repetitions_differ(entries: list[dict[str, Any]]) -> None:
    for name in POINTS:
        found = [e["fd"] for e in entries if e["sampler"] == name and e["strength"] in (0.5, 1.0)]
        assert len(set(found)) == 2


@pytest.mark.parametrize("name", sorted(APPROACHES))
def test_every_approach_draws_at_any_strength(name: str, yardstick: Yardstick, fits: Fits) -> None:
    at = APPROACHES[name].fit(fits)
    away = []
    for strength in (0.3, 0.9):
        sampler = at(strength)
        assert sampler.counts.tolist() == torch.bincount(yardstick.train.labels).tolist()
        drawn, labels, rows = sampler.draw(2000, generator=torch.Generator().manual_seed(0))
        assert torch.isfinite(drawn).all()
        assert rows is not None
        ordered = torch.argsort(yardstick.train.labels, stable=True)[rows]
        assert torch.equal(labels, yardstick.train.labels[ordered])
        away.append((drawn - yardstick.latents[ordered]).norm(dim=1).median().item())
    assert away[0] < away[1]


@pytest.fixture(scope="module")
def fits(yardstick: Yardstick) -> Fits:
    def augment(seed: int) -> torch.Tensor | None:
        images = yardstick.train.images
        return encode_augmented(yardstick.autoencoder, images, SMALL_MOVES, seed=seed, device=CPU)

    return Fits(yardstick.latents, yardstick.train.labels, HVRT, FLOW, augment, seed=0)


def test_the_flow_is_trained_once(fits: Fits) -> None:
    flow, jump = (APPROACHES[name].fit(fits)(1.0) for name in ("latent_flow", "one_jump"))
    assert isinstance(flow, LatentFlow) and isinstance(jump, LatentFlow)
    assert flow.field is jump.field
    assert (flow.evaluations, jump.evaluations) == (7, 1)


def test_means_and_deviations_are_over_seeds() -> None:
    entry = {
        "sampler": "x",
        "strength": 1.0,
        "evaluations": 1,
        "dcr_image": 0.5,
        "dcr_feature": 0.4,
        "dcr_latent": 0.6,
        "attribution": None,
        "inception_score": 2.0,
        "ks": 0.1,
        "tstr": None,
        "seconds": 1.0,
        "fit_seconds": 2.0,
    }
    (row,) = summarise([{**entry, "fd": 1.0, "seed": 0}, {**entry, "fd": 3.0, "seed": 1}])
    assert row["fd"] == 2
    assert row["fd_std"] == pytest.approx(2**0.5)
    assert row["seeds"] == 2
    assert row["attribution"] is row["tstr"] is row["tstr_std"] is None


def test_the_picture_names_every_sampler_and_floor(rows: Rows) -> None:
    figure = plot_frontier_of_samplers(list(rows.values()))
    said = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    for word in ("epanechnikov", "flow map (1 evaluation)", "real training", "test images"):
        assert word in said


@pytest.mark.parametrize(
    ("name", "strength"),
    [("flow_map", 1.6), ("latent_flow", 0.0), ("one_jump", 2.0), ("flow_map_augmented", 1.0)],
)
def test_a_strength_that_no_flow_has_is_refused_before_it_is_trained(
    name: str, strength: float
) -> None:
    options = {"n": 100, "compared": 10, "seeds": 2, "device": None}
    FrontierOptions.model_validate({**options, "points": {"epanechnikov": [1.6], name: [0.5]}})
    with pytest.raises(ValidationError, match=name):
        FrontierOptions.model_validate({**options, "points": {name: [0.5, strength]}})

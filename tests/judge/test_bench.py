"""The bench on real digits: draws and images with known answers, kept draws, whole models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.diffuser import Drawn, HVRTDiffuser
from hvrt_diffuser.judge import bench as module
from hvrt_diffuser.judge.bench import GRADED, MEASURES, Bench, Drawing, cost
from hvrt_diffuser.judge.rows import copied
from hvrt_diffuser.samplers import (
    HVRTEstimator,
    InterpolationEstimator,
    MixtureEstimator,
    StandardNormalEstimator,
)

CPU = torch.device("cpu")
CLASSIFIER = ClassifierOptions(width=8, steps=30, batch_size=64, learning_rate=0.01)


def images_alone(bench: Bench, **changes: Any) -> Bench:
    arguments = {"n": 1000, "compared": 500, "device": CPU, **changes}
    return Bench(bench.train, bench.test, bench.judge, **arguments)


class Scripted:
    """A model that gives copies of training images, of given labels in turn or of asked ones."""

    n_classes, device = 10, CPU

    def __init__(self, bench: Bench, labels: list[int]) -> None:
        self.bench, self.labels, self.given = bench, labels, 0
        self.asked: list[Tensor | None] = []
        self.autoencoder, self.counts = bench.autoencoder, torch.bincount(bench.train.labels)

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Drawn:
        self.asked.append(labels)
        places = torch.arange(self.given, self.given + n) % len(self.labels)
        self.given += n
        wanted = torch.tensor(self.labels)[places] if labels is None else labels
        ordered = self.bench.train.labels.sort(stable=True)
        rows = torch.searchsorted(ordered.values, wanted) + places % 50
        found = ordered.indices[rows]
        images = self.bench.seen[found]
        return Drawn(images, wanted, self.bench.latents[found], rows)


def drawn(bench: Bench, labels: list[int], **arguments: Any) -> Drawing:
    return bench.draw(Scripted(bench, labels), 0, **arguments)  # type: ignore[arg-type]


def test_classes_are_measured_in_their_real_proportions(bench: Bench) -> None:
    """Whatever the proportions of the draws, and the first of each class count."""
    fair, unfair = (
        drawn(bench, list(range(10)) * times + more) for times, more in ((1, []), (1, [0] * 5))
    )
    counts = torch.bincount(bench.train.labels).double()
    for drawing in (fair, unfair):
        share = torch.bincount(drawing.drawn.labels) / bench.n
        assert (share - counts / counts.sum()).abs().max() <= 1 / bench.n
        assert bench.measure(drawing, 0, ["attribution"]) == {"attribution": 1.0}
    distances = [bench.frechet(each.drawn.images) for each in (fair, unfair)]
    assert distances[0] == pytest.approx(distances[1], rel=0.1)


def test_conditional_draws_are_asked_for_in_the_real_proportions(bench: Bench) -> None:
    model = Scripted(bench, [0])
    drawing = bench.draw(model, 0, conditional=True)  # type: ignore[arg-type]
    (asked,) = model.asked
    assert asked is not None
    assert torch.equal(asked, bench.proportional_labels(0))
    assert (asked.sort().values != asked).any(), "in mixed order"
    assert torch.equal(drawing.drawn.labels, asked)


def test_draws_for_classifiers_are_even_by_class_and_differ(bench: Bench) -> None:
    model = HVRTDiffuser(bench.autoencoder, HVRTEstimator().fit(bench.latents, bench.train.labels))
    one, two = bench.draw(model, 0, classifiers=2).even
    for each in (one, two):
        assert torch.bincount(each.labels).tolist() == [100] * 10
    assert not torch.equal(one.images, two.images)
    assert torch.equal(one.images, bench.draw(model, 0, classifiers=1).even[0].images)


class TestMeasures:
    @pytest.fixture(scope="class")
    def rows(self, bench: Bench) -> dict[str, dict[str, Any]]:
        found = {}
        for name, estimator in {
            "copies": HVRTEstimator(noise_scale=0.0),
            "hvrt": HVRTEstimator(),
            "wide": HVRTEstimator(noise_scale=3.0),
            "gaussians": MixtureEstimator(components=1, per="class"),
            "nothing": StandardNormalEstimator(),
        }.items():
            sampler = estimator.fit(bench.latents, bench.train.labels)
            drawing = bench.draw(HVRTDiffuser(bench.autoencoder, sampler), 0, classifiers=1)
            tstr = bench.tstr(drawing, CLASSIFIER, seeds=1, seed=0)
            found[name] = {**bench.measure(drawing, 0), "tstr": tstr}
        return found

    def test_every_measure_is_there(self, rows: dict[str, dict[str, Any]]) -> None:
        for name, row in rows.items():
            assert row.keys() == {*MEASURES, "tstr"}
            starts_from_rows = name not in ("gaussians", "nothing")
            assert (row["attribution"] is not None) == starts_from_rows

    def test_no_noise_gives_copies(self, bench: Bench, rows: dict[str, dict[str, Any]]) -> None:
        copies = rows["copies"]
        assert copies["dcr_latent"] < 1e-3
        assert copies["dcr_image"] == copies["dcr_feature"] == copies["authentic_image"] == 0
        assert copies["attribution"] == 1
        assert copies["fd_classifier"] == pytest.approx(bench.floors(0)["copy_floor"], rel=0.15)

    def test_the_wider_the_kernel_the_more_novel(self, rows: dict[str, dict[str, Any]]) -> None:
        for name in ("dcr_image", "dcr_feature", "dcr_latent", "authentic_image"):
            assert rows["copies"][name] < rows["hvrt"][name] < rows["wide"][name]
        assert rows["hvrt"]["attribution"] >= rows["wide"]["attribution"]

    def test_what_knows_nothing_of_the_latents_is_worst(
        self, rows: dict[str, dict[str, Any]]
    ) -> None:
        worst = rows["nothing"]
        for name in ("hvrt", "gaussians"):
            row = rows[name]
            assert row["fd_classifier"] < worst["fd_classifier"]
            assert row["kid"] < worst["kid"]
            assert row["ks"] < worst["ks"]
            assert row["tstr"] > worst["tstr"]
            assert row["coverage"] > worst["coverage"]
            # Labels that are drawn beside N(0, I) have nothing to do with it.
            assert row["agreement"] > 2 * worst["agreement"]

    def test_what_starts_from_rows_is_nearer_to_them(self, rows: dict[str, dict[str, Any]]) -> None:
        assert rows["hvrt"]["dcr_image"] < rows["gaussians"]["dcr_image"]

    def test_metrics_by_name_are_measured_as_well(
        self, bench: Bench, rows: dict[str, dict[str, Any]]
    ) -> None:
        sampler = HVRTEstimator().fit(bench.latents, bench.train.labels)
        drawing = bench.draw(HVRTDiffuser(bench.autoencoder, sampler), 0)
        wanted = ("fd", "manifold", "inception_score")
        found = bench.measure(drawing, 0, wanted, metrics=("fd", "manifold"))
        assert found["fd"] == rows["hvrt"]["fd_classifier"]
        assert found["manifold"] == {
            name: rows["hvrt"][name] for name in ("precision", "recall", "density", "coverage")
        }
        assert found["inception_score"] == rows["hvrt"]["inception_score"]

    def test_values_are_in_their_ranges(self, rows: dict[str, dict[str, Any]]) -> None:
        for row in rows.values():
            assert 1 <= row["inception_score"] <= 10
            assert 0 <= row["tstr"] <= 100
            for name in ("ks", "precision", "recall", "coverage", "authentic_image", "agreement"):
                assert 0 <= row[name] <= 1


def test_floors_are_where_they_must_be(bench: Bench) -> None:
    floors = bench.floors(0)
    assert floors["real_floor"] < min(floors["reconstruction_floor"], floors["copy_floor"])
    assert 0.3 < floors["authentic_fresh"] < 0.9
    assert images_alone(bench).floors(0).keys() == {"real_floor", "authentic_fresh"}


def test_real_images_are_fresh_and_training_images_are_copies(bench: Bench) -> None:
    own = images_alone(bench)
    names = ("dcr_image", "dcr_feature", "authentic_image")
    sets = (own.test.images[:1000], own.train.images[:1000], 255 - own.train.images[:1000])
    fresh, copies, others = (own.measure(images, 0, names) for images in sets)
    assert fresh["dcr_image"] == pytest.approx(1, abs=0.05)
    assert fresh["dcr_feature"] == pytest.approx(1, abs=0.05)
    assert fresh["authentic_image"] == pytest.approx(own.floors(0)["authentic_fresh"], abs=0.1)
    assert set(copies.values()) == {0}
    assert others["authentic_image"] == 1
    # A folder has images alone: what is of latents, or of given classes, has no meaning.
    folder = own.measure(own.test.images[:1000], 0)
    nothing = {name for name, value in folder.items() if value is None}
    assert nothing == {"dcr_latent", "attribution", "ks", "agreement"}


def test_what_a_verdict_rests_on_tells_fresh_images_from_copies(bench: Bench) -> None:
    half = len(bench.test) // 2
    unseen, others = bench.test[:half], bench.test[half:]
    own = Bench(bench.train, others, bench.judge, n=half, compared=half, device=CPU)
    sets = (unseen.images, own.train.images[:half], 255 - unseen.images)
    fresh, copies, inverted = (own.measure(images, 0, GRADED) for images in sets)
    for row in (fresh, copies, inverted):
        assert row.keys() == GRADED.keys()
    assert fresh["membership_auc_low"] < 0.5 < fresh["membership_auc_high"]
    assert copies["membership_auc"] > 0.5
    assert copies["tpr_low"] > 0.05 > fresh["tpr_at_1"]
    assert copies["tail"] == 1
    assert fresh["tail"] < 0.05
    assert copies["a"] == 0
    assert fresh["a"] == pytest.approx(0.5, abs=0.06)
    assert copies["ct"] < -10 < -4 < fresh["ct"]
    # Training images are as like as fresh ones.
    for name in ("e_random", "e_statistics"):
        assert max(abs(fresh[name]), abs(copies[name])) < 0.03 < inverted[name]


def test_test_images_that_come_by_class_are_as_far_as_fresh_ones(bench: Bench) -> None:
    """Their first ones are all of one class, and ones lie closer together than other digits."""
    order = torch.argsort((bench.test.labels != 1).long(), stable=True)
    own = Bench(bench.train, bench.test[order], bench.judge, n=1000, compared=200, device=CPU)
    shuffled = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
    found = own.measure(bench.test.images[shuffled], 0, ["dcr_image", "dcr_feature"])
    assert found["dcr_image"] == pytest.approx(1, abs=0.1)
    assert found["dcr_feature"] == pytest.approx(1, abs=0.15)


def test_draws_that_were_kept_give_the_same_measures(bench: Bench) -> None:
    sampler = HVRTEstimator().fit(bench.latents, bench.train.labels)
    drawing = bench.draw(HVRTDiffuser(bench.autoencoder, sampler), 0, classifiers=2)
    tensors = bench.packed(drawing)
    assert not any("images" in name for name in tensors), "latents are enough"
    again = bench.unpacked(tensors)
    assert len(again.even) == 2
    names = ("fd_classifier", "attribution", "agreement", "dcr_latent")
    assert bench.measure(again, 0, names) == bench.measure(drawing, 0, names)
    for one, other in zip(drawing.even, again.even, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_costs_are_those_of_the_file(bench: Bench) -> None:
    found = {}
    for name, estimator in {
        "nothing": StandardNormalEstimator(),
        "gaussians": MixtureEstimator(components=1, per="class"),
        "interpolation": InterpolationEstimator(),
    }.items():
        sampler = estimator.fit(bench.latents, bench.train.labels)
        found[name] = cost(HVRTDiffuser(bench.autoencoder, sampler))
    assert found["nothing"]["parameters"] == 0
    # Of ten classes a mean, a covariance's factor and where the only component ends.
    components, d = 10, 8
    assert found["gaussians"]["parameters"] == components * (d + d * d + components)
    assert found["interpolation"]["parameters"] == 2500 * 8
    assert found["interpolation"]["stored_bytes"] > 2500 * 8 * 4
    for each in found.values():
        assert set(each["ms_per_image"]) == {"1", "64", "1024"}
        assert each["ms_per_image"]["1"] > each["ms_per_image"]["1024"] > 0


def test_a_classifier_of_copies_is_as_good_as_one_of_draws_without_noise(bench: Bench) -> None:
    assert bench.autoencoder is not None
    rows = {"copies": copied(bench.autoencoder, bench.train, bench.n, CPU)}
    found = bench.utility(rows, CLASSIFIER, seeds=2, seed=0)
    assert found["copies"] > 60


# ---- whole models


class Labeller:
    """Draws images whose every pixel is their class, and counts them."""

    device, drawn, autoencoder = CPU, 0, None

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Drawn:
        self.drawn += n
        labels = torch.zeros(n, dtype=torch.long) if labels is None else labels
        images = labels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
        return Drawn(images, labels, None, None)


def test_both_sets_of_a_whole_model_come_from_the_same_draws(bench: Bench) -> None:
    rare = bench.train[(bench.train.labels > 0) | (torch.arange(2500) < 50)]
    uneven = Bench(rare, bench.test, bench.judge, n=205, compared=100, device=CPU)
    model = Labeller(10)
    drawing = uneven.draw(model, 0, classifiers=3)  # type: ignore[arg-type]
    classes = drawing.drawn.images[:, 0, 0, 0].long()
    wanted = uneven.proportional_labels(0)
    assert torch.equal(torch.bincount(classes, minlength=10), torch.bincount(wanted, minlength=10))
    assert not torch.equal(classes, classes.sort().values), "the first of them are compared"
    (even,) = drawing.even
    assert torch.bincount(even.labels).tolist() == 5 * [21] + 5 * [20]
    assert torch.equal(even.images[:, 0, 0, 0].long(), even.labels)
    assert 205 < model.drawn < 230
    again = uneven.unpacked(uneven.packed(drawing))
    assert torch.equal(again.drawn.images, drawing.drawn.images)


def test_a_whole_model_without_classes_draws_one_set(bench: Bench) -> None:
    model = Labeller(1)
    drawing = bench.draw(model, 0, classifiers=1)  # type: ignore[arg-type]
    assert len(drawing.drawn.images) == model.drawn == bench.n
    assert drawing.even == ()
    assert bench.tstr(drawing, CLASSIFIER, seeds=1, seed=0) is None


def test_long_calls_are_not_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 0.0)
    model = Labeller(1)
    module.milliseconds(model)  # type: ignore[arg-type]
    assert model.drawn == sum(module.BATCHES)

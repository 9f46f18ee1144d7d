"""Draws follow those of hvrt 2.11, and the checks that say so notice when they do not."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hvrt import FastHVRT
from pydantic import ValidationError
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.samplers import HVRTOptions, Neighbourhoods, SmoothedBootstrap, fit_hvrt

N = 4000
TIMES = 5  # a multiple of the rows, where hvrt need not round its budgets
Array = np.ndarray[Any, np.dtype[Any]]
Sabotage = Callable[[SmoothedBootstrap], SmoothedBootstrap]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def options(strategy: str = "epanechnikov", **changes: Any) -> HVRTOptions:
    plain = {"strategy": strategy, "min_samples_leaf": 5, "n_partitions": None}
    return HVRTOptions(**plain | changes)


def hvrt_model(rows: Tensor) -> FastHVRT:
    return FastHVRT(min_samples_leaf=5).fit(rows.double().numpy())


class Case:
    """A strategy fitted here and by hvrt itself, and what hvrt drew."""

    def __init__(self, strategy: str, rows: Tensor, labels: Tensor) -> None:
        self.rows, self.labels = rows, labels
        self.sampler = fit_hvrt(rows, labels, options(strategy))
        model = hvrt_model(rows)
        drawn = model.expand(TIMES * len(rows), generation_strategy=strategy)
        self.leaf_size = np.bincount(model.partition_ids_)[model.partition_ids_]
        self.deviation = rows.double().std(0).numpy()
        z = rows.double().numpy() / self.deviation
        self.tree = cKDTree(z)
        self.leaf_deviation = np.empty_like(z)  # of each row's leaf, (n, d)
        for part in np.unique(model.partition_ids_):
            inside = model.partition_ids_ == part
            self.leaf_deviation[inside] = z[inside].std(0)
        self.reference = self.aspects(drawn)

    def draw(self, sampler: SmoothedBootstrap, seed: int = 0) -> dict[str, Array]:
        n = TIMES * len(self.rows)
        return self.aspects(sampler.sample(n, generator=source(seed))[0].double().numpy())

    def aspects(self, draws: Array) -> dict[str, Array]:
        """The draws, how far each is from its nearest row, and what leaf that row lies in."""
        z = draws / self.deviation
        _, nearest = self.tree.query(z)
        residuals = np.abs(z - self.tree.data[nearest])
        return {
            "draws": z,
            "residuals": residuals,
            "residuals in units of the leaf": residuals / self.leaf_deviation[nearest],
            "leaf size": self.leaf_size[nearest][:, None].astype(float),
        }

    def p_value(self, found: dict[str, Array]) -> float:
        """That both were drawn alike: Kolmogorov-Smirnov of each aspect, Bonferroni-corrected."""
        p = [
            ks_2samp(x, y, method="asymp").pvalue
            for name, reference in self.reference.items()
            for x, y in zip(found[name].T, reference.T, strict=True)
        ]
        return float(min(1.0, len(p) * min(p)))

    def covariance_p_value(self, found: dict[str, Array]) -> float:
        """The same for the entries of the covariance of draws and of residuals."""
        smallest, entries = 1.0, 0
        for name in ("draws", "residuals"):
            moments = []
            for values in (found[name], self.reference[name]):
                x = values - values.mean(0)
                covariance = x.T @ x / len(x)
                fourth = (x**2).T @ (x**2) / len(x)
                moments.append((covariance, (fourth - covariance**2) / len(x)))
            (a, va), (b, vb) = moments
            upper = np.triu_indices(len(a))
            z = ((a - b) / np.sqrt(va + vb))[upper]
            smallest = min(smallest, 2 * norm.sf(np.abs(z).max()))
            entries += len(z)
        return float(min(1.0, entries * smallest))

    def classifier_z(self, found: dict[str, Array]) -> float:
        """AUC of a classifier that tells the two apart, less 1/2, in its standard deviations."""
        both = [np.hstack([x["draws"], x["residuals"]]) for x in (found, self.reference)]
        shuffled = [x[np.random.RandomState(0).permutation(len(x))] for x in both]
        half = len(shuffled[0]) // 2
        model = make_pipeline(
            StandardScaler(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=0.01)
        )
        y = np.repeat([0, 1], half)
        model.fit(np.vstack([x[:half] for x in shuffled]), y)
        score = model.predict_proba(np.vstack([x[half:] for x in shuffled]))[:, 1]
        return float((roc_auc_score(y, score) - 0.5) / np.sqrt((2 * half + 1) / (12 * half**2)))


@pytest.fixture(scope="module", params=["epanechnikov", "bootstrap_noise"])
def case(request: pytest.FixtureRequest, latents: Tensor, digits: LabelledImages) -> Case:
    return Case(request.param, latents[:N], digits.labels[:N])


# ---- the same distribution


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_have_the_distribution_of_hvrt(case: Case, seed: int) -> None:
    assert case.p_value(case.draw(case.sampler, seed)) > 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_have_the_covariance_of_hvrt(case: Case, seed: int) -> None:
    assert case.covariance_p_value(case.draw(case.sampler, seed)) > 0.01


def test_a_classifier_cannot_tell_draws_from_those_of_hvrt(case: Case) -> None:
    assert abs(case.classifier_z(case.draw(case.sampler))) < 3.3


def scaled(factor: float) -> Sabotage:
    def change(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
        leaf, scale = sampler.overall
        return replace(sampler, overall=Neighbourhoods(leaf, scale * factor))

    return change


def one_deviation_for_all_leaves(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    leaf, scale = sampler.overall
    return replace(sampler, overall=Neighbourhoods(leaf, scale.mean(0).expand_as(scale)))


def deviations_of_other_leaves(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    leaf, scale = sampler.overall
    return replace(sampler, overall=Neighbourhoods(leaf, scale.roll(1, 0)))


def deviations_of_other_dimensions(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    leaf, scale = sampler.overall
    return replace(sampler, overall=Neighbourhoods(leaf, scale.roll(1, 1)))


def leaves_in_equal_shares(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    leaf = sampler.overall.leaf
    share = 1 / torch.bincount(leaf)[leaf].double()
    rows = torch.multinomial(share, 200_000, True, generator=source()).sort()[0]
    return replace(
        sampler,
        latents=sampler.latents[rows],
        counts=torch.bincount(sampler.labels[rows], minlength=sampler.n_classes),
        overall=Neighbourhoods(leaf[rows], sampler.overall.scale),
    )


def kernel_of_another_shape(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Of the same variance."""
    if sampler.kernel == "epanechnikov":
        return replace(scaled(5**-0.5)(sampler), kernel="normal")
    return replace(scaled(5**0.5)(sampler), kernel="epanechnikov")


@pytest.mark.parametrize(
    "sabotage",
    [
        scaled(1.1),
        scaled(0.9),
        scaled(0.0),
        one_deviation_for_all_leaves,
        deviations_of_other_leaves,
        deviations_of_other_dimensions,
        leaves_in_equal_shares,
        kernel_of_another_shape,
    ],
    ids=["x1.1", "x0.9", "x0", "one", "leaves", "dimensions", "shares", "shape"],
)
def test_the_same_check_notices_a_sampler_that_is_wrong(case: Case, sabotage: Sabotage) -> None:
    assert case.p_value(case.draw(sabotage(case.sampler))) < 1e-4


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_covariance_and_classifier_notice_a_wrong_bandwidth(case: Case, factor: float) -> None:
    found = case.draw(scaled(factor)(case.sampler))
    assert case.covariance_p_value(found) < 1e-4
    assert case.classifier_z(found) > 5


# ---- the partition


def test_hvrt_is_the_version_that_partitions_into_many_leaves(
    latents: Tensor, digits: LabelledImages
) -> None:
    assert importlib.metadata.version("hvrt").startswith("2.11.")
    found = fit_hvrt(latents[:N], digits.labels[:N], options()).overall.leaf
    assert len(found.unique()) == hvrt_model(latents[:N]).n_partitions_
    assert len(found.unique()) > 300
    assert torch.bincount(found).min() >= 5


def test_leaves_of_a_class_are_those_of_a_fit_of_its_own(case: Case) -> None:
    leaf, scale = case.sampler.per_class
    for label in range(10):
        own = case.rows[case.labels == label]
        assert torch.equal(case.sampler.latents[case.sampler.labels == label], own)
        model = hvrt_model(own)
        found = leaf[case.sampler.labels == label]
        assert len(found.unique()) == model.n_partitions_
        expected = np.empty(own.shape)
        for part in np.unique(model.partition_ids_):
            inside = model.partition_ids_ == part
            z = (own.double().numpy() - own.double().numpy().mean(0)) / own.double().numpy().std(0)
            deviation = np.maximum(z[inside].std(0), 0.01) * own.double().numpy().std(0)
            epanechnikov = case.sampler.kernel == "epanechnikov"
            factor = inside.sum() ** (-1 / (own.shape[1] + 4)) if epanechnikov else 0.1
            expected[inside] = factor * deviation
        np.testing.assert_allclose(scale[found].numpy(), expected, rtol=1e-4)


def test_no_leaf_spans_two_classes(case: Case) -> None:
    leaf, scale = case.sampler.per_class
    pairs = torch.stack([leaf, case.sampler.labels]).unique(dim=1)
    assert pairs.shape[1] == len(leaf.unique()) == len(scale)
    assert torch.bincount(leaf).min() >= 5
    across = torch.stack([case.sampler.overall.leaf, case.sampler.labels]).unique(dim=1)
    assert across.shape[1] > len(case.sampler.overall.scale)  # the joint fit does span classes


def test_fewer_leaves_are_made_where_fewer_are_asked_for(
    latents: Tensor, digits: LabelledImages
) -> None:
    few = fit_hvrt(latents[:N], digits.labels[:N], options(n_partitions=20))
    assert 2 <= len(few.overall.scale) <= 20
    assert len(few.per_class.scale) <= 200


def test_rows_keep_their_labels_whatever_their_order(
    latents: Tensor, digits: LabelledImages
) -> None:
    sampler = fit_hvrt(latents[:500], digits.labels[:500], options())
    label_of = {
        tuple(z.tolist()): int(y) for z, y in zip(latents[:500], digits.labels, strict=False)
    }
    assert [label_of[tuple(z.tolist())] for z in sampler.latents] == sampler.labels.tolist()
    assert torch.equal(sampler.counts, torch.bincount(digits.labels[:500]))


def test_the_same_latents_give_the_same_sampler(latents: Tensor, digits: LabelledImages) -> None:
    one, two = (fit_hvrt(latents[:800], digits.labels[:800], options()) for _ in range(2))
    assert torch.equal(one.overall.scale, two.overall.scale)
    assert torch.equal(one.per_class.scale, two.per_class.scale)
    draws = [s.sample(100, generator=source())[0] for s in (one, two)]
    assert torch.equal(*draws)


def test_a_fit_touches_no_global_generator(
    latents: Tensor, digits: LabelledImages, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        fit_hvrt(latents[:500], digits.labels[:500], options())


def test_a_fit_leaves_its_latents_alone(latents: Tensor, digits: LabelledImages) -> None:
    z = latents[:500].clone()
    fit_hvrt(z, digits.labels[:500], options())
    assert torch.equal(z, latents[:500])


# ---- latents at the edge of what can be fitted


def constant_dimension(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    z[:, 3] = 7.25
    return z, labels


def each_row_ten_times(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return z.repeat(10, 1), labels.repeat(10)


def one_class_all_alike(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    z[labels == 4] = z[0].clone()
    return z, labels


def all_alike(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return z[:1].repeat(len(z), 1), labels


def one_class(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return z, labels * 0


def one_dimension(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return z[:, :1].contiguous(), labels


@pytest.mark.parametrize("strategy", ["epanechnikov", "bootstrap_noise"])
@pytest.mark.parametrize(
    "shape",
    [
        constant_dimension,
        each_row_ten_times,
        one_class_all_alike,
        all_alike,
        one_class,
        one_dimension,
    ],
)
def test_odd_latents_give_finite_draws_near_them(
    latents: Tensor, digits: LabelledImages, shape: Any, strategy: str
) -> None:
    z, labels = shape(latents[:300].clone(), digits.labels[:300].clone())
    sampler = fit_hvrt(z, labels, options(strategy))
    low, high = z.min(0).values, z.max(0).values
    room = 0.5 * (high - low) + 0.1
    for asked in (None, labels):
        draws, _ = sampler.sample(len(z), asked, generator=source())
        assert torch.isfinite(draws).all()
        assert (draws >= low - room).all()
        assert (draws <= high + room).all()


def test_a_class_of_just_enough_rows_is_fitted(latents: Tensor) -> None:
    labels = torch.tensor([0] * 5 + [1] * 200)
    sampler = fit_hvrt(latents[:205], labels, options())
    assert torch.isfinite(sampler.sample(9, torch.zeros(9).long(), generator=source())[0]).all()


# ---- what is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_refused_by_row(
    latents: Tensor, digits: LabelledImages, value: float
) -> None:
    z = latents[:300].clone()
    z[17, 2] = z[40, 0] = value
    with pytest.raises(InputError, match=r"2 of 300 latents .* first in row 17"):
        fit_hvrt(z, digits.labels[:300], options())


@pytest.mark.parametrize(
    ("rows", "least", "expected"), [(1, None, 2), (1, 1, 2), (1, 5, 5), (4, 5, 5), (9, 10, 10)]
)
def test_a_class_of_too_few_rows_is_refused(
    latents: Tensor, rows: int, least: int | None, expected: int
) -> None:
    labels = torch.tensor([0] * 100 + [1] * rows + [2] * 100)
    with pytest.raises(
        InputError, match=f"class 1 has {rows} latents, expected at least {expected}"
    ):
        fit_hvrt(latents[: len(labels)], labels, options(min_samples_leaf=least))


def test_a_gap_in_the_labels_is_refused(latents: Tensor) -> None:
    labels = torch.tensor([0, 2] * 50)
    with pytest.raises(InputError, match=r"values \[0, 2\], expected every class"):
        fit_hvrt(latents[:100], labels, options())


def test_a_negative_label_is_refused(latents: Tensor) -> None:
    with pytest.raises(InputError, match=r"values \[-1, 0, 1\]"):
        fit_hvrt(latents[:90], torch.tensor([-1, 0, 1] * 30), options())


@pytest.mark.parametrize(
    ("z", "labels"), [((100, 8), (99,)), ((100, 8), (100, 1)), ((100,), (100,)), ((0, 8), (0,))]
)
def test_shapes_that_do_not_fit_are_refused(z: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        fit_hvrt(torch.zeros(z), torch.zeros(labels, dtype=torch.long), options())
    assert str(z) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "multivariate_kde"},
        {"min_samples_leaf": 0},
        {"n_partitions": 1},
        {"bandwidth": 1},
    ],
)
def test_options_without_a_meaning_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**change)

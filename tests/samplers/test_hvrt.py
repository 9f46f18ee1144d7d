"""Draws follow those of hvrt 2.11, and the checks that say so notice when they do not."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from hvrt import FastHVRT
from pydantic import ValidationError
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import gaussian_kde, ks_2samp, kstest, norm, uniform
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import (
    CopulaKernel,
    CovarianceKernel,
    HVRTEstimator,
    Neighbourhoods,
    ProductKernel,
    SmoothedBootstrap,
)

N = 4000
# Rows differ in their last bits from machine to machine, so a true null must hold on each of them:
# a false alarm in a thousand for each check, and what is wrong has to be noticed beyond it.
ALIKE = 0.001
TIMES = 5  # a multiple of the rows, where hvrt need not round its budgets
STRATEGIES = ["epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula"]
MOVE_A_ROW = STRATEGIES[:3]  # the copula starts from no row
# Of the strategies that are compared with hvrt. The marginals of its copula are cut three
# deviations beyond the rows, which takes a share of their density in a leaf of a few rows alone.
LEAST = {strategy: 5 for strategy in MOVE_A_ROW} | {"univariate_kde_copula": 30}
Array = np.ndarray[Any, np.dtype[Any]]
Sabotage = Callable[[SmoothedBootstrap], SmoothedBootstrap]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def estimator(strategy: str = "epanechnikov", **changes: Any) -> HVRTEstimator:
    return HVRTEstimator(**{"strategy": strategy, "min_samples_leaf": 5} | changes)


def hvrt_model(rows: Tensor, least: int = 5) -> FastHVRT:
    return FastHVRT(min_samples_leaf=least).fit(rows.double().numpy())


class Case:
    """A strategy fitted here and by hvrt itself, and what hvrt drew."""

    def __init__(self, strategy: str, rows: Tensor, labels: Tensor, times: int = TIMES) -> None:
        self.strategy, self.rows, self.labels = strategy, rows, labels
        self.n = times * len(rows)
        self.sampler = self.fit()
        self.model = hvrt_model(rows, LEAST[strategy])
        drawn = self.model.expand(self.n, generation_strategy=strategy)
        self.unit = rows.double().std(0).numpy()
        z = rows.double().numpy() / self.unit
        self.tree = cKDTree(z)
        self.part = np.searchsorted(self.model.unique_partitions_, self.model.partition_ids_)
        self.size = np.bincount(self.part)
        parts = [z[self.part == part] for part in range(len(self.size))]
        self.mean = np.stack([part.mean(0) for part in parts])
        self.deviation = np.stack([part.std(0) for part in parts])
        self.reference = self.aspects(drawn)

    def fit(self, labels: Tensor | None = None, **changes: Any) -> SmoothedBootstrap:
        """A joint fit: with labels, the copula has none."""
        least = LEAST[self.strategy]
        settings = estimator(self.strategy, min_samples_leaf=least, **changes)
        if labels is None and self.strategy in MOVE_A_ROW:
            labels = self.labels
        return settings.fit(self.rows, labels)

    @cached_property
    def by_class(self) -> SmoothedBootstrap:
        """A fit with labels, whatever the strategy."""
        return self.fit(self.labels)

    def draw(self, sampler: SmoothedBootstrap, seed: int = 0) -> dict[str, Array]:
        return self.aspects(sampler.sample(self.n, generator=source(seed))[0].double().numpy())

    def aspects(self, draws: Array) -> dict[str, Array]:
        """The draws; how they lie to the row, or for the copula to the leaf, that they reach."""
        z = draws / self.unit
        if self.strategy == "univariate_kde_copula":
            reached = self.model.tree_.apply(self.model.scaler_.transform(draws))
            part = np.searchsorted(self.model.unique_partitions_, reached)
            start = self.mean[part]
            extra = {"projections": z @ self.directions()}
        else:
            _, nearest = self.tree.query(z)
            part = self.part[nearest]
            start = self.tree.data[nearest]
            extra = {}
        residuals = z - start
        relative = residuals / self.deviation[part]
        return {
            "draws": z,
            "residuals": np.abs(residuals),
            "residuals in units of the leaf": np.abs(relative),
            "products of residuals": relative * np.roll(relative, 1, axis=1),
            "leaf size": self.size[part][:, None].astype(float),
            **extra,
        }

    def directions(self) -> Array:
        """Twenty random ones, in which the draws' marginals say nothing of their sum."""
        return np.random.RandomState(0).standard_normal((len(self.unit), 20))

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

    def some(self, found: dict[str, Array]) -> list[Array]:
        """Draws and relative residuals of both, in random order: hvrt's come leaf after leaf."""
        names = ("draws", "residuals in units of the leaf")
        both = [np.hstack([x[name] for name in names]) for x in (found, self.reference)]
        return [x[np.random.RandomState(0).permutation(len(x))] for x in both]

    def energy_p_value(self, found: dict[str, Array]) -> float:
        """The same for the energy distance of 2,500 draws to as many; at least .001."""
        each = 2500
        both = np.vstack([x[:each] for x in self.some(found)])
        distance = cdist(both, both).astype(np.float32)
        side = np.repeat(np.array([1, -1], dtype=np.float32), each)
        random = np.random.RandomState(0)
        sides = np.stack([side, *(random.permutation(side) for _ in range(999))])
        energy = -((sides @ distance) * sides).sum(1)
        return float((energy >= energy[0]).mean())

    def classifier_z(self, found: dict[str, Array]) -> float:
        """AUC of a classifier that tells the two apart, less 1/2, in its standard deviations."""
        shuffled = self.some(found)
        half = len(shuffled[0]) // 2
        model = make_pipeline(
            StandardScaler(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=0.01)
        )
        y = np.repeat([0, 1], half)
        model.fit(np.vstack([x[:half] for x in shuffled]), y)
        score = model.predict_proba(np.vstack([x[half:] for x in shuffled]))[:, 1]
        return float((roc_auc_score(y, score) - 0.5) / np.sqrt((2 * half + 1) / (12 * half**2)))


@pytest.fixture(scope="module")
def cases(latents: Tensor, digits: LabelledImages) -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def case(strategy: str) -> Case:
        if strategy not in made:
            made[strategy] = Case(strategy, latents[:N], digits.labels[:N])
        return made[strategy]

    return case


@pytest.fixture(params=STRATEGIES)
def case(request: pytest.FixtureRequest, cases: Callable[[str], Case]) -> Case:
    return cases(request.param)


# ---- the same distribution


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_have_the_distribution_of_hvrt(case: Case, seed: int) -> None:
    assert case.p_value(case.draw(case.sampler, seed)) > ALIKE


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_have_the_covariance_of_hvrt(case: Case, seed: int) -> None:
    assert case.covariance_p_value(case.draw(case.sampler, seed)) > ALIKE


def test_draws_lie_at_no_energy_distance_from_those_of_hvrt(case: Case) -> None:
    assert case.energy_p_value(case.draw(case.sampler)) > 0.01


def test_a_classifier_cannot_tell_draws_from_those_of_hvrt(case: Case) -> None:
    assert abs(case.classifier_z(case.draw(case.sampler))) < 3.3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_draws_of_a_class_have_the_distribution_of_hvrt_on_that_class(
    cases: Callable[[str], Case], strategy: str
) -> None:
    whole = cases(strategy)
    own = whole.rows[whole.labels == 3]
    alone = Case(strategy, own, torch.zeros(len(own), dtype=torch.long), times=20)

    def drawn(label: int) -> dict[str, Array]:
        labels = torch.full((alone.n,), label)
        return alone.aspects(
            whole.by_class.sample(alone.n, labels, generator=source())[0].double().numpy()
        )

    assert alone.p_value(drawn(3)) > ALIKE
    assert alone.p_value(drawn(5)) < 1e-4


# ---- and what the same checks say of a sampler that is wrong


def wider(factor: float) -> Sabotage:
    """The noise of the strategies that move a row, times a factor."""

    def change(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
        kernel = sampler.overall.kernel
        if isinstance(kernel, ProductKernel):
            return with_kernel(sampler, replace(kernel, scale=kernel.scale * factor))
        assert isinstance(kernel, CovarianceKernel)
        return with_kernel(sampler, replace(kernel, factors=kernel.factors * factor))

    return change


def with_kernel(sampler: SmoothedBootstrap, kernel: Any) -> SmoothedBootstrap:
    return replace(sampler, overall=replace(sampler.overall, kernel=kernel))


def covariances(kernel: CovarianceKernel) -> Tensor:
    """F'F of each leaf, (k, d, d)."""
    pairs = zip(kernel.first.tolist(), kernel.rank.tolist(), strict=True)
    rows = [kernel.factors[first : first + rank] for first, rank in pairs]
    return torch.stack([some.T @ some for some in rows])


def normal_noise(covariance: Tensor) -> CovarianceKernel:
    """Of the covariances (k, d, d)."""
    k, d, _ = covariance.shape
    values, vectors = torch.linalg.eigh(covariance.double())
    factors = (values.clamp(min=0).sqrt()[:, :, None] * vectors.mT).reshape(k * d, d)
    rank = torch.full((k,), d)
    return CovarianceKernel(factors.to(covariance), rank.cumsum(0) - rank, rank, d)


def deviations_of_the_whole_set(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """As large on average over the leaves as those that they stand in for."""
    kernel = sampler.overall.kernel
    if isinstance(kernel, ProductKernel):
        return with_kernel(
            sampler, replace(kernel, scale=kernel.scale.mean(0).expand_as(kernel.scale))
        )
    if isinstance(kernel, CovarianceKernel):
        own = covariances(kernel)
        return with_kernel(sampler, normal_noise(own.mean(0).expand_as(own)))
    assert isinstance(kernel, CopulaKernel)
    ratio = (kernel.deviation().mean(0) / kernel.deviation())[..., None]
    mean = kernel.quantiles.mean(2, keepdim=True)
    return with_kernel(sampler, replace(kernel, quantiles=mean + (kernel.quantiles - mean) * ratio))


def tables_of_other_leaves(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    kernel = sampler.overall.kernel
    if isinstance(kernel, ProductKernel):
        return with_kernel(sampler, replace(kernel, scale=kernel.scale.roll(1, 0)))
    assert isinstance(kernel, CovarianceKernel)
    return with_kernel(sampler, of_the_next_leaf(kernel))


def correlations_of_other_leaves(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    kernel = sampler.overall.kernel
    assert isinstance(kernel, CopulaKernel)
    return with_kernel(sampler, replace(kernel, copula=of_the_next_leaf(kernel.copula)))


def of_the_next_leaf(kernel: CovarianceKernel) -> CovarianceKernel:
    return replace(kernel, first=kernel.first.roll(1), rank=kernel.rank.roll(1))


def tables_of_other_dimensions(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    kernel = sampler.overall.kernel
    if isinstance(kernel, ProductKernel):
        return with_kernel(sampler, replace(kernel, scale=kernel.scale.roll(1, 1)))
    if isinstance(kernel, CopulaKernel):
        copula = replace(kernel.copula, factors=kernel.copula.factors.roll(1, 1))
        return with_kernel(sampler, replace(kernel, copula=copula))
    assert isinstance(kernel, CovarianceKernel)
    return with_kernel(sampler, replace(kernel, factors=kernel.factors.roll(1, 1)))


def no_correlation(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """The diagonal of each leaf's covariance in its place."""
    kernel = sampler.overall.kernel
    if isinstance(kernel, CopulaKernel):
        copula = normal_noise(covariances(kernel.copula).diagonal(dim1=1, dim2=2).diag_embed())
        return with_kernel(sampler, replace(kernel, copula=copula))
    assert isinstance(kernel, CovarianceKernel)
    diagonal = covariances(kernel).diagonal(dim1=1, dim2=2).diag_embed()
    return with_kernel(sampler, normal_noise(diagonal))


def leaves_in_equal_shares(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    leaf = sampler.overall.leaf[0]
    share = 1 / torch.bincount(leaf)[leaf].double()
    rows = torch.multinomial(share, 200_000, True, generator=source()).sort()[0]
    return replace(
        sampler,
        latents=sampler.latents[rows],
        counts=torch.bincount(sampler.labels[rows], minlength=sampler.n_classes),
        overall=replace(sampler.overall, leaf=leaf[rows][None]),
    )


def kernel_of_another_shape(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Of the same variance."""
    kernel = sampler.overall.kernel
    assert isinstance(kernel, ProductKernel)
    if kernel.shape == "epanechnikov":
        return with_kernel(sampler, ProductKernel(kernel.scale * 5**-0.5, "normal"))
    return with_kernel(sampler, ProductKernel(kernel.scale * 5**0.5, "epanechnikov"))


SABOTAGES: list[tuple[Sabotage, list[str], str]] = [
    (wider(1.1), MOVE_A_ROW, "x1.1"),
    (wider(0.9), MOVE_A_ROW, "x0.9"),
    (wider(0.0), MOVE_A_ROW, "x0"),
    (deviations_of_the_whole_set, STRATEGIES, "one"),
    (tables_of_other_leaves, MOVE_A_ROW, "leaves"),
    (tables_of_other_dimensions, STRATEGIES, "dimensions"),
    (leaves_in_equal_shares, STRATEGIES, "shares"),
    (kernel_of_another_shape, MOVE_A_ROW[:2], "shape"),
    (no_correlation, STRATEGIES[2:], "diagonal"),
]

NOTICED = [
    pytest.param(strategy, sabotage, id=f"{strategy}-{name}")
    for sabotage, strategies, name in SABOTAGES
    for strategy in strategies
]


@pytest.mark.parametrize(("strategy", "sabotage"), NOTICED)
@pytest.mark.slow
def test_the_same_check_notices_a_sampler_that_is_wrong(
    cases: Callable[[str], Case], strategy: str, sabotage: Sabotage
) -> None:
    case = cases(strategy)
    assert case.p_value(case.draw(sabotage(case.sampler))) < 1e-4


@pytest.mark.parametrize("strategy", MOVE_A_ROW)
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_covariance_and_classifier_notice_a_wrong_bandwidth(
    cases: Callable[[str], Case], strategy: str, factor: float
) -> None:
    case = cases(strategy)
    found = case.draw(wider(factor)(case.sampler))
    assert case.covariance_p_value(found) < 1e-4
    assert case.classifier_z(found) > 5


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_all_checks_notice_a_wrong_bandwidth_of_the_copula(
    cases: Callable[[str], Case], factor: float
) -> None:
    # A density is wider by the square root of 1 + h^2 alone, so h has to be further off.
    case = cases("univariate_kde_copula")
    found = case.draw(case.fit(noise_scale=factor))
    assert case.p_value(found) < 1e-4
    assert case.covariance_p_value(found) < 1e-4
    assert case.energy_p_value(found) <= 0.01
    assert case.classifier_z(found) > 5


def test_a_classifier_notices_the_correlations_of_other_leaves(
    cases: Callable[[str], Case],
) -> None:
    case = cases("univariate_kde_copula")
    assert case.classifier_z(case.draw(correlations_of_other_leaves(case.sampler))) > 5


@pytest.mark.parametrize("strategy", STRATEGIES[2:])
def test_covariance_and_classifier_notice_lost_correlations(
    cases: Callable[[str], Case], strategy: str
) -> None:
    case = cases(strategy)
    found = case.draw(no_correlation(case.sampler))
    assert case.covariance_p_value(found) < 1e-4
    assert case.classifier_z(found) > 5


@pytest.mark.parametrize("strategy", MOVE_A_ROW)
def test_the_energy_distance_notices_copies(cases: Callable[[str], Case], strategy: str) -> None:
    case = cases(strategy)
    assert case.energy_p_value(case.draw(wider(0.0)(case.sampler))) <= 0.01


def test_small_requests_together_have_the_distribution_of_a_large_one(case: Case) -> None:
    for allocation in ("uniform", "systematic"):
        assert case.p_value(in_requests_of(100, case, allocation, case.n)) > ALIKE


@pytest.mark.slow
def test_the_rounding_of_hvrt_in_small_requests_is_noticed(case: Case) -> None:
    # This is how far hvrt is from its own distribution, and why its rounding is not the default.
    assert case.p_value(in_requests_of(100, case, "hvrt", case.n)) < 1e-4
    assert case.energy_p_value(in_requests_of(50, case, "hvrt", 5000)) <= 0.01


def in_requests_of(n: int, case: Case, allocation: Any, total: int) -> dict[str, Array]:
    generator = source()
    draws = [
        case.sampler.draw(n, generator=generator, allocation=allocation)[0]
        for _ in range(total // n)
    ]
    return case.aspects(torch.cat(draws).double().numpy())


# ---- the tables, recomputed


class Recomputed:
    """The leaves of hvrt itself, and the rows of each; numbered as in the sampler."""

    def __init__(self, rows: Tensor, least: int, leaf: Tensor, **settings: Any) -> None:
        model = FastHVRT(min_samples_leaf=least, **settings).fit(rows.numpy())
        pairs = sorted(set(zip(leaf.tolist(), model.partition_ids_.tolist(), strict=True)))
        assert len(pairs) == model.n_partitions_  # the leaves are the same
        self.numbers = [number for number, _ in pairs]
        self.rows = [rows.numpy()[model.partition_ids_ == part] for _, part in pairs]
        self.unit = rows.numpy().std(0)
        self.d = rows.shape[1]


def fitted(
    latents: Tensor, strategy: str, least: int, **settings: Any
) -> tuple[SmoothedBootstrap, Recomputed]:
    """In float64, where tables are exact to rounding."""
    rows = latents.double()
    options = estimator(strategy, min_samples_leaf=least, **settings)
    sampler = options.fit(rows)
    return sampler, Recomputed(rows, least, sampler.overall.leaf[0], **settings)


@pytest.mark.parametrize("strategy", STRATEGIES[:2])
@pytest.mark.parametrize("least", [1, 5, 30])
def test_scales_are_the_bandwidth_times_the_deviation_of_the_leaf(
    latents: Tensor, strategy: str, least: int
) -> None:
    sampler, expected = fitted(latents[:1000], strategy, least, n_partitions=300)
    kernel = sampler.overall.kernel
    assert isinstance(kernel, ProductKernel)
    for number, rows in zip(expected.numbers, expected.rows, strict=True):
        h = len(rows) ** (-1 / (expected.d + 4)) if strategy == "epanechnikov" else 0.1
        scale = h * np.maximum(rows.std(0), 0.01 * expected.unit)
        np.testing.assert_allclose(kernel.scale[number].numpy(), scale, rtol=1e-9)


@pytest.mark.parametrize("least", [1, 5, 30])  # of 8 dimensions: most leaves are smaller, and none
def test_the_factor_squared_is_the_covariance_of_the_leaf(latents: Tensor, least: int) -> None:
    sampler, expected = fitted(latents[:1000], "multivariate_kde", least, n_partitions=300)
    kernel = sampler.overall.kernel
    assert isinstance(kernel, CovarianceKernel)
    found = covariances(kernel).numpy()
    sizes = [len(rows) for rows in expected.rows]
    assert min(sizes) < 8 < max(sizes) if least < 8 else min(sizes) >= 30
    for number, rows in zip(expected.numbers, expected.rows, strict=True):
        h = len(rows) ** (-1 / (expected.d + 4))
        covariance = h**2 * np.cov(rows.T, ddof=0)
        if len(rows) == 1:  # hvrt's smallest eigenvalue
            covariance = 1e-8 * np.diag(expected.unit**2)
        close = 1e-10 * np.outer(expected.unit, expected.unit).max()
        np.testing.assert_allclose(found[number], covariance, rtol=1e-9, atol=close)
        deviation = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(kernel.deviation()[number], deviation, rtol=1e-6)


@pytest.mark.parametrize("least", [1, 3, 30])
def test_the_copula_has_the_correlation_of_the_normal_scores_of_the_leaf(
    latents: Tensor, least: int
) -> None:
    sampler, expected = fitted(latents[:900], "univariate_kde_copula", least, n_partitions=250)
    kernel = sampler.overall.kernel
    assert isinstance(kernel, CopulaKernel)
    found = covariances(kernel.copula).numpy()
    sizes = [len(rows) for rows in expected.rows]
    assert min(sizes) < 4 <= max(sizes) if least < 4 else min(sizes) >= 30
    for number, rows in zip(expected.numbers, expected.rows, strict=True):
        correlation = np.eye(expected.d)
        if len(rows) >= 4:
            rank = rows.argsort(0).argsort(0) + 1
            correlation = np.corrcoef(norm.ppf(rank / (len(rows) + 1)).T)
        np.testing.assert_allclose(found[number], correlation, atol=1e-9)


@pytest.mark.parametrize("factor", [1.0, 0.5, 2.0])
def test_quantiles_invert_the_kernel_density_of_scipy(latents: Tensor, factor: float) -> None:
    rows = latents[:900].double()
    options = estimator("univariate_kde_copula", min_samples_leaf=30, noise_scale=factor)
    sampler = options.fit(rows)
    expected = Recomputed(rows, 30, sampler.overall.leaf[0])
    kernel = sampler.overall.kernel
    assert isinstance(kernel, CopulaKernel)
    quantiles = kernel.quantiles.numpy()
    score = np.linspace(-5.5, 5.5, quantiles.shape[2])
    middle = (quantiles[..., 1:] + quantiles[..., :-1]) / 2
    for number, some in zip(expected.numbers, expected.rows, strict=True):
        m = len(some)
        for j in range(expected.d):
            h = factor * gaussian_kde(some[:, j]).scotts_factor() * some[:, j].std(ddof=1)

            def off(x: Array, at: Array, column: Array = some[:, j], h: float = h) -> float:
                known = norm.cdf((x[:, None] - column) / h).mean(1)
                return float(np.abs(known - norm.cdf(at)).max())

            # hvrt's grid of 2,000 places is off by half a step, about .0025 leaf deviations, which
            # at the height of a normal density is .001; the tables may be off by no more.
            assert off(quantiles[number, j], score) < 0.001
            # A draw falls between two quantiles, where the function bends most between two modes:
            # a fifth of how well m rows know their own distribution function.
            assert off(middle[number, j], (score[1:] + score[:-1]) / 2) < 0.2 / (2 * m**0.5)


@pytest.mark.parametrize("factor", [1.0, 0.3, 2.0])
def test_draws_of_one_leaf_in_one_dimension_follow_the_kernel_density_of_scipy(
    latents: Tensor, factor: float
) -> None:
    rows = latents[:300, :1].double()
    options = estimator("univariate_kde_copula", min_samples_leaf=300, noise_scale=factor)
    draws, _ = options.fit(rows).sample(50_000, generator=source())
    column = rows[:, 0].numpy()
    known = gaussian_kde(column, bw_method=lambda kde: factor * kde.scotts_factor())

    def distribution(x: Array) -> Array:
        h = np.sqrt(known.covariance[0, 0])
        return np.concatenate(
            [norm.cdf((some[:, None] - column) / h).mean(1) for some in np.array_split(x, 50)]
        )

    assert kstest(draws[:, 0].numpy(), distribution).pvalue > 0.01
    assert kstest(1.03 * draws[:, 0].numpy(), distribution).pvalue < 0.01


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_row_alone_in_its_leaf_is_moved_as_hvrt_moves_it(latents: Tensor, strategy: str) -> None:
    # hvrt's smallest deviation is .01 of the whole set's, and the bandwidth of a row alone is 1.
    # A row has no covariance, so hvrt's smallest eigenvalue counts, 1e-8; its copula spreads the
    # row evenly over .1 to either side.
    rows = latents[:60].double()
    options = estimator(strategy, min_samples_leaf=1, n_partitions=60)
    sampler = options.fit(rows)
    assert sampler.overall.n_leaves == 60
    draws, _, origin = sampler.draw(40_000, generator=source())
    if origin is None:  # the copula starts from no row, and here stays next to one
        origin = torch.cdist(draws, rows).argmin(dim=1)
    moved = ((draws - rows[origin]) / rows.std(0, unbiased=False)).numpy()
    known, scale = {
        "epanechnikov": (lambda x: 0.5 + 0.75 * (x - x**3 / 3), 0.01),
        "bootstrap_noise": (norm.cdf, 0.001),
        "multivariate_kde": (norm.cdf, 0.0001),
        "univariate_kde_copula": (uniform(-1, 2).cdf, 0.1),
    }[strategy]
    assert min(kstest(column / scale, known).pvalue for column in moved.T) * 8 > 0.01


# ---- the factor on the noise


@pytest.mark.parametrize("strategy", MOVE_A_ROW)
def test_no_noise_gives_copies(latents: Tensor, digits: LabelledImages, strategy: str) -> None:
    sampler = estimator(strategy, noise_scale=0).fit(latents[:600], digits.labels[:600])
    for asked in (None, digits.labels[:600]):
        draws, _, rows = sampler.draw(600, asked, generator=source())
        assert torch.equal(draws, sampler.latents[rows])


@pytest.mark.parametrize("strategy", MOVE_A_ROW)
@pytest.mark.parametrize("factor", [0.25, 2.0])
def test_noise_grows_by_its_factor(
    latents: Tensor, digits: LabelledImages, strategy: str, factor: float
) -> None:
    z, labels = latents[:600].double(), digits.labels[:600]
    plain = estimator(strategy).fit(z, labels)
    changed = estimator(strategy, noise_scale=factor).fit(z, labels)
    for asked in (None, labels):
        draws, _, rows = plain.draw(600, asked, generator=source())
        others, _, same = changed.draw(600, asked, generator=source())
        assert torch.equal(rows, same)
        noise = draws - plain.latents[rows]
        assert noise.abs().min() > 0
        torch.testing.assert_close(others - plain.latents[rows], factor * noise)


def test_the_copula_without_a_bandwidth_is_refused() -> None:
    with pytest.raises(ValidationError, match="set it above 0"):
        estimator("univariate_kde_copula", noise_scale=0)


# ---- the partition


def test_hvrt_is_the_version_that_partitions_into_many_leaves(
    latents: Tensor, digits: LabelledImages
) -> None:
    assert importlib.metadata.version("hvrt").startswith("2.11.")
    overall = estimator().fit(latents[:N], digits.labels[:N]).overall
    assert overall.n_leaves == len(overall.leaf.unique()) == hvrt_model(latents[:N]).n_partitions_
    assert overall.n_leaves > 300
    assert overall.sizes.min() >= 5
    assert overall.sizes.sum() == N


def test_leaves_of_a_class_are_those_of_a_fit_of_its_own(case: Case) -> None:
    sampler, least = case.by_class, LEAST[case.strategy]
    leaf = sampler.per_class.leaf[0]
    for label in range(10):
        inside = sampler.labels == label
        own = case.rows[case.labels == label]
        assert torch.equal(sampler.latents[inside], own)
        Recomputed(own.double(), least, leaf[inside])  # it compares the leaves


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tables_of_a_class_are_those_of_a_fit_of_its_own(
    latents: Tensor, digits: LabelledImages, strategy: str
) -> None:
    z, labels = latents[:1500].double(), digits.labels[:1500]
    sampler = estimator(strategy).fit(z, labels)
    alone = estimator(strategy).fit(z[labels == 3])
    in_class = sampler.per_class.leaf[0][sampler.labels == 3]
    pairs = torch.stack([in_class, alone.overall.leaf[0]]).unique(dim=1)
    assert pairs.shape[1] == alone.overall.n_leaves
    for theirs, ours in zip(
        tables(sampler.per_class)[:-1], tables(alone.overall)[:-1], strict=True
    ):
        torch.testing.assert_close(theirs[pairs[0]], ours[pairs[1]], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        tables(sampler.per_class)[-1][pairs[0]], tables(alone.overall)[-1][pairs[1]]
    )


def tables(neighbourhoods: Neighbourhoods) -> list[Tensor]:
    """One entry a leaf, whatever the kernel; the deviations last."""
    kernel = neighbourhoods.kernel
    if isinstance(kernel, ProductKernel):
        return [kernel.scale, kernel.deviation()]
    if isinstance(kernel, CovarianceKernel):
        return [covariances(kernel), kernel.deviation()]
    assert isinstance(kernel, CopulaKernel)
    return [covariances(kernel.copula), kernel.quantiles, kernel.deviation()]


def test_no_leaf_spans_two_classes(case: Case) -> None:
    sampler = case.by_class
    leaf, labels = sampler.per_class.leaf[0], sampler.labels
    pairs = torch.stack([leaf, labels]).unique(dim=1)
    assert pairs.shape[1] == len(leaf.unique()) == sampler.per_class.n_leaves
    assert sampler.per_class.sizes.min() >= LEAST[case.strategy]
    # The joint fit spans classes, and the copula has none: a draw of it would have no label.
    across = torch.stack([sampler.overall.leaf[0], labels]).unique(dim=1)
    assert (across.shape[1] > sampler.overall.n_leaves) == (case.strategy in MOVE_A_ROW)


def test_fewer_leaves_are_made_where_fewer_are_asked_for(
    latents: Tensor, digits: LabelledImages
) -> None:
    few = estimator(n_partitions=20).fit(latents[:N], digits.labels[:N])
    assert 2 <= few.overall.n_leaves <= 20
    assert few.per_class.n_leaves <= 200


def test_rows_keep_their_labels_whatever_their_order(
    latents: Tensor, digits: LabelledImages
) -> None:
    sampler = estimator().fit(latents[:500], digits.labels[:500])
    label_of = {
        tuple(z.tolist()): int(y) for z, y in zip(latents[:500], digits.labels, strict=False)
    }
    assert [label_of[tuple(z.tolist())] for z in sampler.latents] == sampler.labels.tolist()
    assert torch.equal(sampler.counts, torch.bincount(digits.labels[:500]))


def test_the_order_of_the_rows_does_not_matter_to_the_leaves(
    latents: Tensor, digits: LabelledImages
) -> None:
    z, labels = latents[:800], digits.labels[:800]
    order = torch.randperm(800, generator=source())
    one = estimator().fit(z, labels)
    two = estimator().fit(z[order], labels[order])

    def groups(sampler: SmoothedBootstrap) -> set[frozenset[tuple[float, ...]]]:
        leaf = sampler.per_class.leaf[0]
        rows = [tuple(row) for row in sampler.latents.tolist()]
        return {
            frozenset(rows[i] for i in (leaf == number).nonzero()[:, 0].tolist())
            for number in leaf.unique()
        }

    assert groups(one) == groups(two)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_labels_all_rows_are_one_class(latents: Tensor, strategy: str) -> None:
    plain = estimator(strategy).fit(latents[:400])
    assert plain.counts.tolist() == [400]
    zeros = torch.zeros(400, dtype=torch.long)
    given = estimator(strategy).fit(latents[:400], zeros)
    for asked in (None, zeros):
        one, two = (s.sample(400, asked, generator=source())[0] for s in (plain, given))
        assert torch.equal(one, two)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_latents_give_the_same_sampler(
    latents: Tensor, digits: LabelledImages, strategy: str
) -> None:
    z, labels = latents[:800], digits.labels[:800]
    one, two = (estimator(strategy).fit(z, labels) for _ in range(2))
    for ours, theirs in ((one.overall, two.overall), (one.per_class, two.per_class)):
        first, second = ours.packed()[0], theirs.packed()[0]
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    draws = [s.sample(100, generator=source())[0] for s in (one, two)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fit_touches_no_global_generator(
    latents: Tensor, digits: LabelledImages, global_generators_untouched: Any, strategy: str
) -> None:
    options = estimator(strategy, tree_splitter="random", members=2)
    with global_generators_untouched():
        options.fit(latents[:500], digits.labels[:500])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fit_and_draws_leave_the_latents_alone(
    latents: Tensor, digits: LabelledImages, strategy: str
) -> None:
    z = latents[:500].clone()
    sampler = estimator(strategy).fit(z, digits.labels[:500])
    sampler.sample(5000, generator=source())
    assert torch.equal(z, latents[:500])
    assert torch.equal(sampler.latents, z[torch.argsort(digits.labels[:500], stable=True)])


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


@pytest.mark.parametrize("strategy", STRATEGIES)
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
    sampler = estimator(strategy).fit(z, labels)
    low, high = z.min(0).values, z.max(0).values
    # Of the four kernels only this is normal and as wide as the leaf, so some reach further.
    room = (1.0 if strategy == "multivariate_kde" else 0.5) * (high - low) + 0.1
    for asked in (None, labels):
        draws, _ = sampler.sample(len(z), asked, generator=source())
        assert torch.isfinite(draws).all()
        assert (draws >= low - room).all()
        assert (draws <= high + room).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_class_of_just_enough_rows_is_fitted(latents: Tensor, strategy: str) -> None:
    for rows, least in ((5, 5), (2, None), (2, 1), (3, 3)):
        labels = torch.tensor([0] * rows + [1] * 200)
        sampler = estimator(strategy, min_samples_leaf=least).fit(latents[: rows + 200], labels)
        draws, _ = sampler.sample(99, torch.zeros(99).long(), generator=source())
        assert torch.isfinite(draws).all()
        own = latents[:rows]
        room = 3 * (own.amax(0) - own.amin(0)) + 0.1 * latents.std(0)
        assert (draws >= own.amin(0) - room).all()
        assert (draws <= own.amax(0) + room).all()


# ---- what is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_refused_by_row(
    latents: Tensor, digits: LabelledImages, value: float
) -> None:
    z = latents[:300].clone()
    z[17, 2] = z[40, 0] = value
    with pytest.raises(InputError, match=r"2 of 300 latents .* first in row 17"):
        estimator().fit(z, digits.labels[:300])


@pytest.mark.parametrize("least", [None, 1, 5])
def test_a_class_of_one_row_is_refused(latents: Tensor, least: int | None) -> None:
    labels = torch.tensor([0] * 100 + [1] + [2] * 100)
    with pytest.raises(InputError, match="class 1 has 1 latents, expected at least 2"):
        estimator(min_samples_leaf=least).fit(latents[: len(labels)], labels)
    with pytest.raises(InputError, match="class owl has 1 latents"):
        estimator().check(torch.tensor([100, 1, 100]), ("cat", "owl", "dog"))


def test_a_gap_in_the_labels_is_refused(latents: Tensor) -> None:
    labels = torch.tensor([0, 2] * 50)
    with pytest.raises(InputError, match=r"values \[0, 2\], expected every class"):
        estimator().fit(latents[:100], labels)


def test_a_negative_label_is_refused(latents: Tensor) -> None:
    with pytest.raises(InputError, match=r"values \[-1, 0, 1\]"):
        estimator().fit(latents[:90], torch.tensor([-1, 0, 1] * 30))


@pytest.mark.parametrize(
    ("z", "labels"), [((100, 8), (99,)), ((100, 8), (100, 1)), ((100,), (100,)), ((0, 8), (0,))]
)
def test_shapes_that_do_not_fit_are_refused(z: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        estimator().fit(torch.zeros(z), torch.zeros(labels, dtype=torch.long))
    assert str(z) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "gaussian"},
        {"noise_scale": -0.1},
        {"min_samples_leaf": 0},
        {"n_partitions": 1},
        {"bandwidth": 1},
    ],
)
def test_options_without_a_meaning_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        estimator(**change)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fit_some_rows_at_a_time_is_the_fit_at_once(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = torch.randn(900, 5, generator=source()) * torch.tensor([1, 2, 0.1, 5, 1])
    labels = torch.arange(900) % 3
    whole = estimator(strategy).fit(latents, labels)
    for module in ("leaves", "trees", "protocol"):
        name = "AT_ONCE" if module == "protocol" else "ROWS_AT_ONCE"
        monkeypatch.setattr(f"hvrt_diffuser.samplers.{module}.{name}", 64)
    parts = estimator(strategy).fit(latents, labels)
    for a, b in ((whole.overall, parts.overall), (whole.per_class, parts.per_class)):
        assert torch.equal(a.leaf, b.leaf)
        for x, y in zip(*(k.kernel.packed()[0].values() for k in (a, b)), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-6)

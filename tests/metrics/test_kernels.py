"""The kernel distance and the mean discrepancy against full matrices and closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist, pdist
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import kernel_distance, kernels, mmd

Array = np.ndarray[Any, np.dtype[np.float64]]


def normal(n: int, d: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


def of_whole_samples(a: Array, b: Array) -> float:
    return float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))


def by_definition(a: Array, b: Array) -> float:
    """Gretton et al. 2012, eq. 3, pair by pair."""
    rows = [*a, *b]
    s = np.median([math.dist(x, y) for x, y in itertools.combinations(rows, 2)])

    def k(x: Array, y: Array) -> float:
        return math.exp(-(math.dist(x, y) ** 2) / (2 * s * s))

    within = [
        sum(k(x, y) for x, y in itertools.permutations(sample, 2))
        / (len(sample) * (len(sample) - 1))
        for sample in (a, b)
    ]
    across = sum(k(x, y) for x in a for y in b) / (len(a) * len(b))
    return sum(within) - 2 * across


@pytest.mark.parametrize("d", [1, 5, 40])
def test_a_subset_of_all_rows_scores_what_torchmetrics_does(d: int) -> None:
    a, b = normal(60, d, 0), 1.3 * normal(60, d, 1) + 0.2
    found = kernel_distance(a, b, subset_size=60, seed=0)
    assert found.mean == pytest.approx(of_whole_samples(a, b), rel=1e-9)
    assert found.std == pytest.approx(0, abs=1e-9 * abs(found.mean))


def test_the_mean_over_subsets_is_that_of_the_whole_samples() -> None:
    a, b = normal(500, 6, 0), 1.2 * normal(500, 6, 1)
    found = kernel_distance(a, b, subset_size=50, seed=0)
    # Four standard errors of a mean over 100 subsets.
    assert found.mean == pytest.approx(of_whole_samples(a, b), abs=4 * found.std / 10)


def test_subsets_deviate_as_those_of_torchmetrics_do() -> None:
    a, b = normal(500, 6, 0), 1.2 * normal(500, 6, 1)
    found = kernel_distance(a, b, subset_size=50, seed=0)
    reference = KernelInceptionDistance(feature=torch.nn.Flatten(), subset_size=50)
    reference.set_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for sample, real in ((a, True), (b, False)):
            reference.update(torch.from_numpy(sample), real=real)
        mean, std = (float(x) for x in reference.compute())
    # A deviation of 100 values is known to 7%, and two of them differ by less than 4 times 10%.
    assert found.std == pytest.approx(std, rel=0.4)
    assert found.mean == pytest.approx(mean, abs=4 * math.hypot(found.std, std) / 10)


def test_the_kernel_distance_of_two_points_is_that_of_their_kernel() -> None:
    a, b = np.tile([2.0, 0.0], (7, 1)), np.zeros((9, 2))
    found = kernel_distance(a, b, subset_size=5, seed=0)
    assert found.mean == pytest.approx(3**3 + 1 - 2 * 1)
    assert found.std == pytest.approx(0, abs=1e-12)


def test_subsets_of_a_size_larger_than_one_sample_or_smaller_than_two_are_refused() -> None:
    a, b = normal(20, 3, 0), normal(10, 3, 1)
    for size in (-1, 0, 1, 11, 21):
        with pytest.raises(InputError, match=f"subsets of {size} rows .* expected 2 to 10"):
            kernel_distance(a, b, subset_size=size, seed=0)
    for size in (2, 10):
        assert np.isfinite(kernel_distance(a, b, subset_size=size, seed=0)).all()


@pytest.mark.parametrize(
    ("n", "m", "size"), [(2, 2, 2), (5, 9, 2), (300, 240, 120), (400, 480, 200), (700, 500, 200)]
)
def test_a_subset_is_at_most_half_of_the_smaller_sample_so_that_it_deviates(
    n: int, m: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kernels.SUBSET == 1000
    monkeypatch.setattr(kernels, "SUBSET", 200)
    a, b = normal(n, 3, 0), 1.2 * normal(m, 3, 1)
    found = kernel_distance(a, b, seed=0)
    assert found == kernel_distance(a, b, subset_size=size, seed=0)
    assert n == 2 or found.std > 0.01 * abs(found.mean)


@pytest.mark.parametrize("measure", ["kernel_distance", "mmd"])
def test_equal_distributions_score_zero_on_average_and_below_it_at_times(measure: str) -> None:
    pairs = [(normal(12, 20, 2 * i), normal(12, 20, 2 * i + 1)) for i in range(40)]
    if measure == "mmd":
        found = np.array([mmd(a, b, seed=0) for a, b in pairs])
        own, other = 1.0, 0.6  # kernels of a row with itself and with another, about
    else:
        found = np.array([kernel_distance(a, b, subset_size=12, seed=0).mean for a, b in pairs])
        own, other = 8.0, 1.2
    error = found.std() / math.sqrt(40)
    assert abs(found.mean()) < 3 * error
    # What rows compared with themselves would add is far more than that.
    assert 2 * (own - other) / 12 > 9 * error
    assert (found < 0).any()


# Few values, so that rows are often equal.
ROWS = st.integers(2, 6).flatmap(
    lambda n: arrays(np.float64, (n, 2), elements=st.integers(-3, 3).map(float))
)


@settings(deadline=None)
@given(a=ROWS, b=ROWS)
def test_the_discrepancy_is_the_mean_over_pairs_of_different_rows(a: Array, b: Array) -> None:
    assume(np.median(pdist(np.vstack([a, b]))) > 0)
    assert mmd(a, b, seed=0) == pytest.approx(by_definition(a, b), abs=1e-12)


def test_the_discrepancy_is_that_of_full_matrices() -> None:
    a, b = normal(400, 10, 0), 1.5 * normal(300, 10, 1)
    s = np.median(pdist(np.vstack([a, b])))
    xx, yy, xy = (np.exp(-(cdist(*p) ** 2) / (2 * s * s)) for p in ((a, a), (b, b), (a, b)))
    within = [k[~np.eye(len(k), dtype=bool)].mean() for k in (xx, yy)]
    expected = sum(within) - 2 * xy.mean()
    assert mmd(a, b, seed=0) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


def test_two_points_are_as_far_apart_as_the_median_says() -> None:
    a, b = np.zeros((5, 3)), np.full((5, 3), 7.0)
    assert mmd(a, b, seed=0) == pytest.approx(2 - 2 * math.exp(-1 / 2))


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_gaussians_that_are_shifted_score_the_closed_form(shift: float) -> None:
    a, b = normal(500, 1, 0), normal(500, 1, 1) + shift
    s = float(np.median(pdist(np.vstack([a, b]))))
    wide = s * s + 2  # of the kernel and two unit Gaussians
    expected = 2 * s / math.sqrt(wide) * (1 - math.exp(-(shift**2) / (2 * wide)))
    # The means of 500 rows are known to 0.045 deviations each.
    assert mmd(a, b, seed=0) == pytest.approx(expected, rel=4 * 0.064 / shift)


def test_a_thousand_rows_set_the_bandwidth_well_enough() -> None:
    a, b = normal(1500, 4, 0), normal(1500, 4, 1) + 0.5
    found = [mmd(a, b, seed=seed) for seed in range(4)]
    assert len(set(found)) == 4
    assert max(found) == pytest.approx(min(found), rel=0.05)


def test_a_discrepancy_far_from_the_origin_is_exact() -> None:
    a, b = normal(60, 8, 0) + 1e8, normal(60, 8, 1) + 1e8
    assert mmd(a, b, seed=0) == pytest.approx(by_definition(a, b), rel=1e-8)


@pytest.mark.parametrize("d", [1, 64, 128])
def test_equal_rows_are_refused_whatever_their_values(d: int) -> None:
    row = 5 * normal(1, d, 0)
    for n, m in ((300, 300), (40, 30), (2, 2)):
        with pytest.raises(InputError, match="most rows of the samples are equal"):
            mmd(np.tile(row, (n, 1)), np.tile(row, (m, 1)), seed=0)


def test_a_median_distance_of_zero_is_refused_although_some_rows_differ() -> None:
    a = np.vstack([np.zeros((20, 2)), np.ones((3, 2))])
    with pytest.raises(InputError, match="most rows of the samples are equal"):
        mmd(a, a[:20], seed=0)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (1, 1)])
def test_a_single_row_has_no_discrepancy(n: int, m: int) -> None:
    with pytest.raises(InputError, match=f"{n} and {m} rows .* at least 2 each"):
        mmd(normal(n, 2, 0), normal(m, 2, 1), seed=0)

"""Two-sample tests: chance, certainty, closed forms, and what each of them sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import TwoSampleTest, classifier_test, nearest_neighbour_test

Array = np.ndarray[Any, np.dtype[np.float64]]

both = pytest.mark.parametrize("test", [classifier_test, nearest_neighbour_test])
Test = Callable[..., TwoSampleTest]


def normal(n: int, d: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


def wilson(p: float, n: int) -> tuple[float, float]:
    z = norm.ppf(0.975)
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def neighbours_by_definition(a: Array, b: Array) -> float:
    x = np.vstack([a, b])
    of = [0] * len(a) + [1] * len(b)
    told = 0
    for i, row in enumerate(x):
        others = [j for j in range(len(x)) if j != i]
        told += of[min(others, key=lambda j: math.dist(row, x[j]))] == of[i]
    return told / len(x)


@both
def test_samples_of_one_distribution_cannot_be_told_apart(test: Test) -> None:
    found = [test(normal(150, 5, 2 * i), normal(150, 5, 2 * i + 1), seed=i) for i in range(20)]
    # A share of 300 rows has a standard error of 0.03, and its mean over 20 one of 0.007.
    assert np.mean([t.accuracy for t in found]) == pytest.approx(0.5, abs=0.03)
    # Of 95% intervals, 17 or more of 20 hold the truth in 98% of all cases. Those of neighbours,
    # which are not independent, hold it in 88% of 400 cases like these: 14 or more of 20 in 98%.
    enough = 17 if test is classifier_test else 14
    assert sum(t.low <= 0.5 <= t.high for t in found) >= enough


@both
def test_disjoint_samples_are_always_told_apart(test: Test) -> None:
    found = test(normal(100, 3, 0), normal(100, 3, 1) + 100, seed=0)
    assert found.accuracy == 1
    assert found.high == 1
    assert found.low > 0.95


@both
def test_a_shifted_mean_is_detected(test: Test) -> None:
    a, b = normal(500, 3, 0), normal(500, 3, 1)
    assert test(a, b + 1, seed=0).low > 0.5
    assert test(a, b + 3, seed=0).accuracy > test(a, b + 1, seed=0).accuracy


def test_exact_copies_have_each_other_as_neighbours() -> None:
    a = normal(200, 5, 0)
    copies = np.random.default_rng(1).permutation(a)
    assert nearest_neighbour_test(a, copies, seed=0).accuracy == 0
    near = a + 1e-3 * normal(200, 5, 2)
    assert nearest_neighbour_test(a, near, seed=0).accuracy < 0.02
    assert classifier_test(a, copies, seed=0).accuracy == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_classifier_tells_shifted_gaussians_as_well_as_can_be_done(shift: float) -> None:
    a, b = normal(4000, 2, 0), normal(4000, 2, 1)
    b[:, 0] += shift
    best = norm.cdf(shift / 2)
    # Four standard errors of a share of 4,000 rows.
    found = classifier_test(a, b, seed=0).accuracy
    assert found == pytest.approx(best, abs=4 * math.sqrt(best * (1 - best) / 4000))


def test_the_classifier_is_asked_about_rows_that_it_was_not_fitted_on() -> None:
    a, b = normal(60, 200, 0), normal(60, 200, 1)
    assert classifier_test(a, b, seed=0).accuracy < 0.75


def test_the_scale_of_a_dimension_is_no_matter_to_the_classifier() -> None:
    a, b = normal(300, 3, 0), normal(300, 3, 1) + 0.7
    scale, offset = np.array([1e-6, 1.0, 1e6]), np.array([0, 1e3, -1e7])
    found = classifier_test(a * scale + offset, b * scale + offset, seed=0)
    assert found == classifier_test(a, b, seed=0)


def test_neighbours_see_a_spread_that_a_linear_classifier_does_not() -> None:
    a, b = normal(500, 10, 0), 3 * normal(500, 10, 1)
    assert nearest_neighbour_test(a, b, seed=0).low > 0.6
    assert classifier_test(a, b, seed=0).low < 0.55


@pytest.mark.parametrize("seed", range(10))
def test_neighbours_are_those_of_the_definition(seed: int) -> None:
    n = 4 + 5 * seed
    a, b = normal(n, 1 + seed, seed), normal(n, 1 + seed, seed + 100) + 0.5
    found = nearest_neighbour_test(a, b, seed=0)
    assert found.accuracy == pytest.approx(neighbours_by_definition(a, b))


def test_neighbours_far_from_the_origin_are_exact() -> None:
    a, b = normal(300, 16, 0) + 1e8, normal(300, 16, 1) + 1e8
    distances = cdist(np.vstack([a, b]), np.vstack([a, b]))
    np.fill_diagonal(distances, np.inf)
    expected = ((distances.argmin(1) < 300) == (np.arange(600) < 300)).mean()
    assert nearest_neighbour_test(a, b, seed=0).accuracy == pytest.approx(expected)


@both
@pytest.mark.parametrize("n", [4, 37, 250])
def test_the_interval_is_that_of_wilson_for_the_rows_that_were_asked_about(
    test: Test, n: int
) -> None:
    found = test(normal(n, 2, 0), normal(n, 2, 1) + 1, seed=0)
    asked = n if test is classifier_test else 2 * n
    assert found.accuracy * asked == pytest.approx(round(found.accuracy * asked))
    np.testing.assert_allclose((found.low, found.high), wilson(found.accuracy, asked), rtol=1e-9)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1


@both
@pytest.mark.parametrize("larger", [0, 1])
def test_a_larger_sample_does_not_make_chance_look_like_skill(test: Test, larger: int) -> None:
    samples = [normal(200, 4, 0), normal(200, 4, 1)]
    samples[larger] = normal(2000, 4, 2)
    found = test(*samples, seed=0)
    assert found.low < 0.5 < found.high
    assert found[1:] == pytest.approx(
        wilson(found.accuracy, 200 if test is classifier_test else 400)
    )


@both
@pytest.mark.parametrize(("n", "m"), [(3, 50), (50, 3), (1, 1)])
def test_too_few_rows_are_refused(test: Test, n: int, m: int) -> None:
    with pytest.raises(InputError, match=f"{n} and {m} rows .* at least 4 each"):
        test(normal(n, 2, 0), normal(m, 2, 1), seed=0)
    assert 0 <= test(normal(4, 2, 0), normal(50, 2, 1), seed=0).accuracy <= 1


@both
def test_dimensions_that_are_constant_are_no_obstacle(test: Test) -> None:
    a, b = normal(50, 3, 0), normal(50, 3, 1) + 100
    a[:, 1] = b[:, 1] = 0.1
    assert test(a, b, seed=0).accuracy == 1
    assert 0 <= test(np.full((9, 2), 0.1), np.full((9, 2), 0.1), seed=0).accuracy <= 1

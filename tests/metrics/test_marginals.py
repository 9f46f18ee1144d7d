"""The Kolmogorov-Smirnov statistic and the Wasserstein-1 distance of each dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp, norm
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import kolmogorov_smirnov, wasserstein

Array = np.ndarray[Any, np.dtype[np.float64]]


def by_definition(x: Array, y: Array) -> float:
    """The largest difference between the shares at or below any value of either."""
    return max(abs((x <= t).mean() - (y <= t).mean()) for t in np.concatenate([x, y]))


# Few values, so that ties are frequent.
SAMPLES = st.integers(1, 12).flatmap(
    lambda n: arrays(np.float64, (n, 2), elements=st.integers(-3, 3).map(float))
)


@settings(deadline=None)
@given(a=SAMPLES, b=SAMPLES)
def test_it_is_the_largest_difference_of_distribution_functions(a: Array, b: Array) -> None:
    expected = [by_definition(x, y) for x, y in zip(a.T, b.T, strict=True)]
    np.testing.assert_allclose(kolmogorov_smirnov(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(kolmogorov_smirnov(b, a), expected, atol=1e-12)


def test_it_is_that_of_scipy_on_latents(latents: Tensor) -> None:
    a, b = latents[:700].numpy(), latents[700:1000].numpy() * 1.2
    found = kolmogorov_smirnov(a, b)
    assert found.shape == (8,)
    assert found.dtype == np.float64
    expected = [ks_2samp(a[:, i], b[:, i]).statistic for i in range(8)]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(found, [by_definition(a[:, i], b[:, i]) for i in range(8)])


def test_identical_samples_are_at_zero_and_disjoint_ones_at_one(latents: Tensor) -> None:
    z = latents[:100].numpy()
    assert kolmogorov_smirnov(z, z[::-1]).tolist() == [0] * 8
    assert kolmogorov_smirnov(z, z + 1e4).tolist() == [1] * 8


def test_each_dimension_is_judged_alone() -> None:
    a = np.arange(20.0).reshape(10, 2)
    b = a + np.array([0, 100])
    assert kolmogorov_smirnov(a, b).tolist() == [0, 1]


def test_a_rising_map_of_both_changes_nothing(latents: Tensor) -> None:
    a, b = latents[:200].double().numpy(), latents[200:500].double().numpy()
    np.testing.assert_allclose(
        kolmogorov_smirnov(np.arctan(a), np.arctan(b)), kolmogorov_smirnov(a, b)
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [((9, 2), (9, 3)), ((9,), (9,)), ((0, 2), (9, 2)), ((9, 2), (0, 2)), ((9, 2, 1),) * 2],
)
def test_samples_that_do_not_fit_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="take both from one extractor"):
        kolmogorov_smirnov(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("side", [0, 1])
def test_nan_is_refused(side: int) -> None:
    samples = [np.zeros((5, 2)), np.zeros((5, 2))]
    samples[side][4, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        kolmogorov_smirnov(*samples)


def quantiles(n: int, mean: float = 0.0, deviation: float = 1.0) -> Array:
    """A Gaussian as evenly as n values can show it, (n, 1)."""
    return norm.ppf((np.arange(n)[:, None] + 0.5) / n, mean, deviation)


def area(x: Array, y: Array) -> float:
    """Between two distribution functions that step at whole numbers from -3 to 3 alone."""
    return float(sum(abs((x <= t).mean() - (y <= t).mean()) for t in range(-3, 3)))


@settings(deadline=None)
@given(a=SAMPLES, b=SAMPLES)
def test_it_is_the_area_between_distribution_functions_in_deviations_of_the_second(
    a: Array, b: Array
) -> None:
    if np.ptp(b, axis=0).all():
        expected = [area(x, y) / y.std() for x, y in zip(a.T, b.T, strict=True)]
        np.testing.assert_allclose(wasserstein(a, b), expected, atol=1e-12)
    else:
        with pytest.raises(InputError, match="of the reference is constant"):
            wasserstein(a, b)


def test_it_is_that_of_pot_on_latents(latents: Tensor) -> None:
    a, b = latents[:700].double().numpy(), 1.2 * latents[700:1000].double().numpy()
    found = wasserstein(a, b)
    assert found.shape == (8,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, ot.wasserstein_1d(a, b, p=1) / b.std(axis=0))


def test_of_as_many_values_it_is_the_mean_distance_of_sorted_ones(latents: Tensor) -> None:
    a, b = latents[:300].double().numpy(), latents[300:600].double().numpy()
    expected = np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean(axis=0) / b.std(axis=0)
    np.testing.assert_allclose(wasserstein(a, b), expected)


@pytest.mark.parametrize("shift", [-2.0, 0.0, 0.5])
def test_a_shift_is_as_far_as_it_moves(shift: float) -> None:
    a = quantiles(1000, mean=3 * shift, deviation=3)
    assert wasserstein(a, quantiles(1000, deviation=3)) == pytest.approx(abs(shift), rel=0.01)


@pytest.mark.parametrize("spread", [0.2, 1.0, 3.0])
def test_a_wider_gaussian_is_as_far_as_its_values_stand_on_average(spread: float) -> None:
    expected = abs(spread - 1) * np.sqrt(2 / np.pi)
    found = wasserstein(quantiles(1000, deviation=spread), quantiles(700))
    assert found == pytest.approx(expected, rel=0.01, abs=0.01)


def test_units_are_no_matter_to_either(latents: Tensor) -> None:
    a, b = latents[:200].double().numpy(), latents[200:500].double().numpy()
    scale, offset = np.logspace(-3, 3, 8), np.linspace(-100, 100, 8)
    for measure in (wasserstein, kolmogorov_smirnov):
        found = measure(a * scale + offset, b * scale + offset)
        np.testing.assert_allclose(found, measure(a, b), rtol=1e-6)


def test_the_distance_grows_where_the_statistic_has_reached_one() -> None:
    b = quantiles(50)
    assert kolmogorov_smirnov(b + 10, b) == kolmogorov_smirnov(b + 20, b) == 1
    assert wasserstein(b + 20, b) == pytest.approx(2 * wasserstein(b + 10, b))


@pytest.mark.parametrize("n", [1, 10, 1000])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e5 / 3])
def test_a_dimension_that_is_constant_in_the_reference_is_refused_by_its_number(
    n: int, value: float
) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, n + 1, 3))
    b[:, 1] = value
    with pytest.raises(InputError, match="dimension 1 of the reference is constant"):
        wasserstein(a, b)
    assert np.isfinite(wasserstein(b, a)).all()

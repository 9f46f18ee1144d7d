"""The Kolmogorov-Smirnov statistic of each dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.metrics import kolmogorov_smirnov

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
    with pytest.raises(InputError, match="take both from one autoencoder"):
        kolmogorov_smirnov(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("side", [0, 1])
def test_nan_is_refused(side: int) -> None:
    samples = [np.zeros((5, 2)), np.zeros((5, 2))]
    samples[side][4, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        kolmogorov_smirnov(*samples)

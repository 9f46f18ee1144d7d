"""The sliced Wasserstein distance against sorting and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hvrt_diffuser.metrics import sliced_wasserstein

Array = np.ndarray[Any, np.dtype[np.float64]]

ROWS = st.integers(1, 6).flatmap(
    lambda n: arrays(np.float64, (n, 1), elements=st.integers(-3, 3).map(float))
)


def normal(n: int, d: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


def between_lines(x: Array, y: Array) -> float:
    """Squared Wasserstein-2 distance of numbers, repeated until there are as many of both."""
    x, y = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
    return float(np.square(x - y).mean())


@settings(deadline=None)
@given(a=ROWS, b=ROWS)
def test_in_one_dimension_it_is_the_distance_of_sorted_values(a: Array, b: Array) -> None:
    found = sliced_wasserstein(a, b, seed=0)
    assert found == pytest.approx(math.sqrt(between_lines(a[:, 0], b[:, 0])), abs=1e-9)


@pytest.mark.parametrize("d", [2, 10, 50])
def test_it_is_the_root_mean_square_over_directions(d: int) -> None:
    a, b = normal(60, d, 0), 1.5 * normal(40, d, 1) + 0.5
    directions = normal(4000, d, 2)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    squares = [between_lines(a @ u, b @ u) for u in directions]
    found = np.mean([sliced_wasserstein(a, b, seed=seed) ** 2 for seed in range(10)])
    # Both means over directions, of 4,000 and of 10 times 200.
    error = float(np.std(squares)) * math.sqrt(1 / 4000 + 1 / 2000)
    assert found == pytest.approx(np.mean(squares), abs=4 * error)


@pytest.mark.parametrize("d", [2, 8])
def test_a_shift_counts_as_its_length_over_the_root_of_the_dimensions(d: int) -> None:
    a = normal(100, d, 0)
    shift = np.zeros(d)
    shift[:2] = 3, 4
    found = [sliced_wasserstein(a, a + shift, seed=seed) ** 2 for seed in range(20)]
    assert np.mean(found) == pytest.approx(25 / d, abs=4 * float(np.std(found)) / math.sqrt(20))


def test_identical_samples_are_at_zero_however_often_they_are_repeated() -> None:
    a = normal(50, 5, 0)
    assert sliced_wasserstein(a, a[::-1], seed=0) == 0
    assert sliced_wasserstein(a, np.repeat(a, 3, axis=0), seed=0) == pytest.approx(0, abs=1e-7)


def test_it_is_symmetric_and_scales_with_the_samples() -> None:
    a, b = normal(70, 5, 0), normal(40, 5, 1) + 1
    found = sliced_wasserstein(a, b, seed=0)
    assert sliced_wasserstein(b, a, seed=0) == pytest.approx(found)
    assert sliced_wasserstein(3 * a, 3 * b, seed=0) == pytest.approx(3 * found)
    assert sliced_wasserstein(a + 7, b + 7, seed=0) == pytest.approx(found)


def test_more_directions_than_one_are_taken() -> None:
    a, b = normal(100, 20, 0), normal(100, 20, 1) + 1
    found = [sliced_wasserstein(a, b, seed=seed) for seed in range(10)]
    assert len(set(found)) == 10
    # One square deviates by up to 1.4 times its mean, and the root of 200 by a 28th of that.
    assert np.std(found) / np.mean(found) < 0.1

"""Nearest neighbours, against an independent search and cases with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.metrics import attribution, dcr_ratio, nearest

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def halves(latents: Tensor) -> tuple[Array, Array]:
    """Latents of real digits, in random order: training rows and held-out ones."""
    return latents[:2500].numpy(), latents[2500:].numpy()


def test_neighbours_are_those_of_a_tree(halves: tuple[Array, Array]) -> None:
    training, held_out = halves
    distance, index = cKDTree(training.astype(np.float64)).query(held_out.astype(np.float64))
    found = nearest(held_out, training)
    assert np.array_equal(found[0], index)
    np.testing.assert_allclose(found[1], distance, rtol=1e-9)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    rows = np.arange(500, dtype=np.float64)[:, None] * 1e-4 + np.full((500, 16), 1e3)
    index, distance = nearest(rows + 1e-6, rows)
    assert np.array_equal(index, np.arange(500))
    np.testing.assert_allclose(distance, 4e-6, rtol=1e-3)


@pytest.mark.parametrize(("noise", "expected"), [(1e-3, 1.0), (100.0, 0.0)])
def test_attribution_of_near_copies_is_one_and_of_strangers_none(
    halves: tuple[Array, Array], noise: float, expected: float
) -> None:
    training = halves[0]
    random = np.random.default_rng(0)
    rows = random.integers(len(training), size=1000)
    draws = training[rows] + noise * random.standard_normal((1000, training.shape[1]))
    assert attribution(draws, rows, training) == pytest.approx(expected, abs=0.01)


def test_attribution_notices_rows_that_are_not_the_source(halves: tuple[Array, Array]) -> None:
    training = halves[0]
    rows = np.arange(1000)
    assert attribution(training[rows], rows, training) == 1
    assert attribution(training[rows], rows + 1, training) == 0


def test_a_copy_of_a_row_that_stands_twice_belongs_to_both(halves: tuple[Array, Array]) -> None:
    training = np.vstack([halves[0][:10], halves[0][:10]])
    assert attribution(training[:10], np.arange(10, 20), training) == 1


def test_fresh_data_have_a_ratio_of_one_and_copies_of_none(halves: tuple[Array, Array]) -> None:
    training, held_out = halves
    assert dcr_ratio(training[:500], training, held_out) == 0
    assert dcr_ratio(held_out[:1250], training, held_out[1250:]) == pytest.approx(1, abs=0.1)
    assert dcr_ratio(training[:1000] * 3, training, held_out) > 2


def test_held_out_data_that_are_copies_are_refused(halves: tuple[Array, Array]) -> None:
    with pytest.raises(InputError, match="expected fresh data"):
        dcr_ratio(halves[1], halves[0], halves[0])


@pytest.mark.parametrize(
    ("queries", "reference"),
    [((3, 2), (3, 3)), ((3,), (3, 3)), ((0, 2), (3, 2)), ((3, 2), (0, 2))],
)
def test_shapes_that_do_not_fit_are_refused(
    queries: tuple[int, ...], reference: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match="expected"):
        nearest(np.zeros(queries), np.zeros(reference))


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        nearest(np.full((3, 2), np.nan), np.zeros((3, 2)))


def test_rows_of_another_number_are_refused() -> None:
    with pytest.raises(InputError, match="one per draw"):
        attribution(np.zeros((3, 2)), np.zeros(2, dtype=np.int64), np.zeros((3, 2)))

"""Nearest neighbours, against an independent search and cases with a known answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import ortho_group
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import (
    Novelty,
    attribution,
    authenticity,
    closest,
    dcr_ratio,
    nearest,
    novelty,
)

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


def by_definition(draws: Array, training: Array, held_out: Array) -> Novelty:
    """Distances row by row, and of a training row to every row that stands elsewhere."""

    def first(row: Array, rows: list[Array]) -> tuple[float, int]:
        return min((math.dist(row, other), i) for i, other in enumerate(rows))

    def authentic(found: list[tuple[float, int]]) -> float:
        own = [first(training[i], [*training[:i], *training[i + 1 :]])[0] for _, i in found]
        return float(np.mean([of > o for (of, _), o in zip(found, own, strict=True)]))

    of_draws, of_held_out = ([first(x, list(training)) for x in y] for y in (draws, held_out))
    medians = [np.median([distance for distance, _ in found]) for found in (of_draws, of_held_out)]
    return Novelty(float(medians[0] / medians[1]), authentic(of_draws), authentic(of_held_out))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Draws, training and held-out rows, of which some are equal to others."""
    d = draw(st.integers(1, 4))
    rows = np.random.default_rng(draw(st.integers(0, 1000))).standard_normal((12, d))
    some = st.lists(st.integers(0, 11), min_size=1, max_size=8)
    return rows[draw(some)], rows[draw(some.filter(lambda x: len(x) > 1))], rows[draw(some)]


@settings(deadline=None, max_examples=200)
@given(cases())
def test_novelty_is_what_its_definition_says_whatever_rows_are_equal(
    case: tuple[Array, Array, Array],
) -> None:
    draws, training, held_out = case
    assume(np.median(nearest(held_out, training)[1]) > 0)
    found = novelty(draws, training, held_out)
    assert found == pytest.approx(by_definition(draws, training, held_out), rel=1e-9)
    assert found.dcr_ratio == dcr_ratio(draws, training, held_out)
    assert found.authentic == authenticity(draws, training)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_copies_are_at_no_distance_and_none_of_them_is_authentic(
    halves: tuple[Array, Array], times: int
) -> None:
    training = np.random.default_rng(0).permutation(np.repeat(halves[0][:600], times, axis=0))
    found = novelty(training[:500], training, halves[1][:500])
    assert found[:2] == (0, 0)
    assert found.authentic_held_out > 0.3


def test_fresh_rows_are_as_novel_as_held_out_ones(halves: tuple[Array, Array]) -> None:
    training, held_out = halves
    found = novelty(held_out[:1250], training, held_out[1250:])
    assert found.dcr_ratio == pytest.approx(1, abs=0.1)
    # A share of 1,250 rows has a standard error of 0.014, and a difference of two one of 0.02.
    assert found.authentic == pytest.approx(found.authentic_held_out, abs=0.06)
    assert 0.2 < found.authentic_held_out < 0.8


def test_the_more_draws_are_copies_the_fewer_are_authentic(halves: tuple[Array, Array]) -> None:
    training, held_out = halves
    fresh = held_out[:1000]
    found = [
        novelty(np.vstack([training[:n], fresh[n:]]), training, held_out[1000:])
        for n in (0, 250, 600, 1000)
    ]
    assert [f.authentic for f in found] == sorted((f.authentic for f in found), reverse=True)
    assert found[1].authentic == pytest.approx(0.75 * found[0].authentic, abs=0.05)
    assert 0 < found[1].dcr_ratio < found[0].dcr_ratio
    assert found[2].dcr_ratio == found[3].dcr_ratio == found[3].authentic == 0
    assert len({f.authentic_held_out for f in found}) == 1


def test_draws_that_are_nearer_than_training_rows_are_to_each_other_are_no_authentic_ones(
    halves: tuple[Array, Array],
) -> None:
    training, held_out = halves
    noise = np.random.default_rng(0).standard_normal((1000, training.shape[1]))
    for size, authentic in ((1e-3, 0), (100.0, 1)):
        found = novelty(training[:1000] + size * noise, training, held_out)
        assert found.authentic == pytest.approx(authentic, abs=0.01)


def test_neither_place_nor_direction_nor_order_nor_unit_matters(
    halves: tuple[Array, Array],
) -> None:
    d = halves[0].shape[1]
    draws = halves[1][:300].astype(np.float64)
    training, held_out = (x[-700:].astype(np.float64) for x in halves)
    expected = novelty(draws, training, held_out)
    rotation = ortho_group.rvs(d, random_state=0)
    shuffle = np.random.default_rng(0).permutation
    for change in (lambda x: x + 1e3, lambda x: x @ rotation, shuffle, lambda x: 1e-3 * x):
        changed = (change(x) for x in (draws, training, held_out))
        assert novelty(*changed) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("d", [3, 16, 128, 784])
def test_an_exact_copy_is_at_distance_zero_without_rounding(d: int) -> None:
    rows = 5 * np.random.default_rng(d).standard_normal((300, d)) + 10
    index, distance = nearest(rows[::-1].copy(), rows)
    assert index.tolist() == list(range(300))[::-1]
    assert not distance.any()


@pytest.mark.parametrize("n", [500, 2000])
def test_held_out_digits_that_were_trained_on_are_refused_in_any_units(
    digits: LabelledImages, n: int
) -> None:
    pixels = digits.images.flatten(1).double().numpy()
    for x in (pixels, pixels / 255 * 2 - 1, np.log1p(pixels)):
        training, fresh = x[:n], x[n : n + 200]
        with pytest.raises(InputError, match="expected fresh data"):
            dcr_ratio(fresh, training, training)
        with pytest.raises(InputError, match="expected fresh data"):
            novelty(fresh, training, training)


def test_a_single_training_row_has_no_distance_of_its_own() -> None:
    x = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(InputError, match=r"1 training row .* at least 2"):
        novelty(x, x[:1], x[1:])
    with pytest.raises(InputError, match=r"1 training row .* at least 2"):
        authenticity(x, x[:1])
    assert dcr_ratio(x[1:], x[:1], x[1:]) == 1


@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_closest_rows_are_those_of_a_tree_in_their_order(
    halves: tuple[Array, Array], k: int
) -> None:
    training, held_out = halves[0].astype(np.float64), halves[1][:300].astype(np.float64)
    index, distance = closest(held_out, training, k)
    expected_distance, expected = cKDTree(training).query(held_out, k=list(range(1, k + 1)))
    assert np.array_equal(index, expected)
    np.testing.assert_allclose(distance, expected_distance, rtol=1e-9)
    assert np.array_equal(index[:, 0], nearest(held_out, training)[0])


@pytest.mark.parametrize("d", [3, 16, 128, 784])
def test_the_closest_rows_to_a_row_that_stands_twice_are_at_distance_zero(d: int) -> None:
    rows = 5 * np.random.default_rng(d).standard_normal((200, d)) + 10
    index, distance = closest(rows, np.vstack([rows, rows]), 3)
    assert np.array_equal(np.sort(index[:, :2]), np.arange(200)[:, None] + np.array([0, 200]))
    assert not distance[:, :2].any()
    assert distance[:, 2].all()
    assert (np.diff(distance) >= 0).all()


@pytest.mark.parametrize("k", [-1, 0, 4])
def test_neighbours_beyond_the_rows_are_refused(k: int) -> None:
    x = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(InputError, match=f"{k} neighbours .* among 3 rows, expected 1 to 3"):
        closest(x, x[:3], k)
    assert np.array_equal(np.sort(closest(x, x[:3], 3)[0]), np.tile([0, 1, 2], (9, 1)))

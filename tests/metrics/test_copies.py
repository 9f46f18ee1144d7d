"""What the nearest training images say of draws: real digits with a known answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import Copies, blurred, copies, registered_nearest

Compare = Callable[[Tensor], Copies]


@pytest.fixture(scope="module")
def parts(digits: LabelledImages) -> tuple[Tensor, Tensor, Tensor]:
    """Training images, fresh ones, and others that nobody has seen."""
    return digits.images[:2500], digits.images[2500:3750], digits.images[3750:]


@pytest.fixture(scope="module")
def cells(parts: tuple[Tensor, Tensor, Tensor]) -> KMeans:
    return KMeans(12, n_init=1, random_state=0).fit(blurred(parts[0]))


@pytest.fixture(scope="module")
def compare(parts: tuple[Tensor, Tensor, Tensor], cells: KMeans) -> Compare:
    training, fresh, _ = parts
    of_fresh = registered_nearest(fresh, training)[1]

    def run(draws: Tensor) -> Copies:
        distance = registered_nearest(draws, training)[1]
        of_cells = (cells.predict(blurred(x)) for x in (draws, fresh))
        return copies(distance, of_fresh, *of_cells)

    return run


def test_fresh_digits_are_no_copies(compare: Compare, parts: tuple[Tensor, Tensor, Tensor]) -> None:
    found = compare(parts[2])
    assert found.a_low <= 0.5 <= found.a_high
    assert found.tail_low is not None
    assert found.tail_high is not None
    assert found.tail_low <= 0.01 <= found.tail_high
    assert found.ct is not None
    assert abs(found.ct) < 3
    assert (found.n_draws, found.n_fresh) == (1250, 1250)


def test_a_tenth_of_copies_stands_in_the_tail(
    compare: Compare, parts: tuple[Tensor, Tensor, Tensor]
) -> None:
    found = compare(torch.cat([parts[0][:125], parts[2][:1125]]))
    assert found.tail is not None
    assert found.tail_low is not None
    assert found.tail >= 0.10
    assert found.tail_low > 0.05


@pytest.mark.parametrize("move", [(0, 0), (0, 1), (1, 1), (2, -2)])
def test_copies_that_were_moved_are_nearer_than_any_fresh_digit(
    compare: Compare, parts: tuple[Tensor, Tensor, Tensor], move: tuple[int, int]
) -> None:
    found = compare(parts[0][:1250].roll(move, (2, 3)))
    assert found.a_high < 0.01
    assert found.tail is not None
    assert found.tail > 0.95
    assert found.ct is not None
    assert found.ct < -20


def test_ct_of_fresh_digits_is_standard_normal(digits: LabelledImages, cells: KMeans) -> None:
    """At least 90 of 100 random splits are within 2, and their deviation is 1."""
    pool, training = digits.images[2500:], digits.images[:2500]
    distance, cell = registered_nearest(pool, training)[1], cells.predict(blurred(pool))
    source = np.random.default_rng(0)
    found = []
    for _ in range(100):
        order = source.permutation(len(pool))
        a, b = order[:1250], order[1250:]
        found.append(copies(distance[a], distance[b], cell[a], cell[b]).ct)
    z = np.array(found, dtype=float)
    assert (abs(z) < 2).sum() >= 90
    assert 0.75 < z.std() < 1.25


def test_a_copied_cell_is_seen_where_the_others_are_farther() -> None:
    """Half of the space copied and half far away: A is one half, C_T is the sum of the cells."""
    source = np.random.default_rng(0)
    cell = np.repeat([0, 1], 500)
    fresh = source.uniform(1, 2, 1000)
    draws = np.where(cell == 0, 0.0, 3.0)
    found = copies(draws, fresh, cell, cell)
    assert found.a == pytest.approx(0.5)
    assert found.tail == 0.5
    assert found.ct == pytest.approx(0, abs=0.1)
    assert copies(draws, fresh, cell, np.where(cell == 1, -1, 0)).ct < -15  # type: ignore[operator]


def test_what_few_images_cannot_tell_is_none() -> None:
    source = np.random.default_rng(0)
    draws, fresh, cell = source.random(50), source.random(99), np.arange(99) % 9
    found = copies(draws, fresh, cell[:50], cell)
    assert found.tail is found.tail_low is found.tail_high is found.ct is None
    assert found.a_low < 0.5 < found.a_high

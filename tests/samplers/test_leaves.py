"""Sums by leaf, against loops over leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hvrt_diffuser.samplers import leaves as module
from hvrt_diffuser.samplers.leaves import PADDED_ELEMENTS, Leaves, deviation_of_rows

N_LEAVES = 30
EMPTY = (0, 7, 29)  # the first, one between and the last


@pytest.fixture(scope="module", params=[1, 3])
def leaves(request: pytest.FixtureRequest) -> Leaves:
    """Leaves of unequal sizes, from one row to many, some without any."""
    source = torch.Generator().manual_seed(0)
    weights = 1.3 ** torch.arange(N_LEAVES).double()
    weights[list(EMPTY)] = 0
    leaf = weights.multinomial(500 * request.param, replacement=True, generator=source)
    return Leaves(leaf.view(request.param, 500), N_LEAVES)


@pytest.fixture(scope="module")
def values() -> Tensor:
    return 3 + torch.randn(500, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def rows_of(leaves: Leaves, which: int) -> list[int]:
    """The rows of a leaf, by a loop."""
    return [row for member in leaves.leaf.tolist() for row in range(500) if member[row] == which]


def test_the_leaves_are_as_they_were_meant(leaves: Leaves) -> None:
    sizes = [len(rows_of(leaves, which)) for which in range(N_LEAVES)]
    assert leaves.sizes.tolist() == sizes
    assert [which for which in EMPTY if sizes[which]] == []
    assert max(sizes) > 100
    assert 0 < min(size for size in sizes if size) < 5


def test_rows_stand_leaf_after_leaf(leaves: Leaves) -> None:
    for which in range(N_LEAVES):
        first = int(leaves.first[which])
        own = leaves.rows[first : first + int(leaves.sizes[which])].tolist()
        assert own == rows_of(leaves, which)
        assert leaves.owner[first : first + len(own)].tolist() == [which] * len(own)
    assert len(leaves.rows) == len(leaves.owner) == leaves.leaf.numel()


def test_mean_and_deviation_are_those_of_a_loop(leaves: Leaves, values: Tensor) -> None:
    mean, deviation = leaves.mean(values), leaves.deviation(values)
    assert mean.shape == deviation.shape == (N_LEAVES, 4)
    for which in range(N_LEAVES):
        own = values.numpy()[rows_of(leaves, which)]
        if not len(own):
            own = np.zeros((1, 4))
        np.testing.assert_allclose(mean[which], own.mean(0), rtol=1e-12)
        np.testing.assert_allclose(deviation[which], own.std(0), rtol=1e-10, atol=1e-12)


def test_deviation_keeps_its_digits_far_from_zero(leaves: Leaves, values: Tensor) -> None:
    """A sum of squares less the square of a sum would lose them all."""
    near, far = leaves.deviation(values), leaves.deviation(values + 1e8)
    torch.testing.assert_close(near, far, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("at_once", [1, 7, 499])
def test_sums_do_not_depend_on_how_many_rows_there_are_at_a_time(
    leaves: Leaves, values: Tensor, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = leaves.mean(values), leaves.deviation(values)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    assert torch.equal(leaves.mean(values), whole[0])
    assert torch.equal(leaves.deviation(values), whole[1])


@pytest.mark.parametrize("at_once", [1, 7, 499, 500])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_deviations_of_parts_are_merged(
    values: Tensor, at_once: int, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    found = deviation_of_rows(values + offset)
    np.testing.assert_allclose(found, (values + offset).numpy().std(0), rtol=1e-9)


@pytest.mark.parametrize("cost", [1, PADDED_ELEMENTS // 100, 10 * PADDED_ELEMENTS])
def test_blocks_hold_every_row_of_the_chosen_leaves_once(leaves: Leaves, cost: int) -> None:
    chosen = leaves.sizes.nonzero()[:, 0]
    chosen = chosen[chosen % 3 != 1].flip(0)
    seen = []
    for own, place in leaves.blocks(chosen, cost):
        assert place.shape == (len(own), int(leaves.sizes[own].max()))
        for which, places in zip(own.tolist(), place, strict=True):
            inside = places[places >= 0]
            assert leaves.rows[inside].tolist() == rows_of(leaves, which)
            assert leaves.owner[inside].eq(which).all()
        seen += own.tolist()
    assert sorted(seen) == sorted(chosen.tolist())


@pytest.mark.parametrize("cost", [1, PADDED_ELEMENTS // 100, 10 * PADDED_ELEMENTS])
def test_blocks_are_bounded_and_hardly_padded(leaves: Leaves, cost: int) -> None:
    for own, place in leaves.blocks(leaves.sizes.nonzero()[:, 0], cost):
        assert len(own) == 1 or place.numel() * cost <= PADDED_ELEMENTS
        assert (place >= 0).sum() * 2 >= place.numel()


def test_no_leaves_make_no_block(leaves: Leaves) -> None:
    assert list(leaves.blocks(torch.zeros(0, dtype=torch.long), 1)) == []

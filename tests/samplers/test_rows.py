"""Rows as networks see them: some at a time, and each alike whoever stands beside it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.samplers.perceptron import Perceptron
from hvrt_diffuser.samplers.rows import choose_rows, in_chunks


@pytest.mark.parametrize("width", [1, 16, 17, 48])
def test_a_row_is_the_same_among_any_number(width: int) -> None:
    """Of layers, too, whose numbers do not fill a processor's vectors."""
    torch.manual_seed(0)
    network = Perceptron(9, 4, width, 5).requires_grad_(False)
    rows, labels = torch.randn(1500, 9), torch.arange(1500) % 4
    whole = in_chunks(network, rows, labels)
    for n in (1, 31, 33, 37, 65, 129, 511, 1023, 1025, 1499):
        assert torch.equal(in_chunks(network, rows[:n], labels[:n]), whole[:n])


@pytest.mark.parametrize("labels", [None, torch.tensor([2, 0, 1]).repeat(4000)])
def test_rows_are_of_the_class_that_is_asked_for_and_all_as_likely(labels: Tensor | None) -> None:
    counts = torch.tensor([3, 1, 4])
    bits = torch.randint(2**32, (12_000,), generator=torch.Generator().manual_seed(0))
    rows, own = choose_rows(bits, labels, counts)
    assert torch.equal(own, torch.tensor([0, 0, 0, 1, 2, 2, 2, 2])[rows])
    if labels is not None:
        assert torch.equal(own, labels)
    share = torch.bincount(rows, minlength=8) / 12_000
    each = torch.full((8,), 1 / 8)
    if labels is not None:
        each = torch.tensor([1 / 9, 1 / 9, 1 / 9, 1 / 3, *[1 / 12] * 4])
    assert torch.allclose(share, each, atol=0.01)

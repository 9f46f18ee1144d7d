"""Sums and sorted rows by leaf, without a loop over leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["PADDED_ELEMENTS", "ROWS_AT_ONCE", "Leaves", "deviation_of_rows"]

PADDED_ELEMENTS = 2**22  # of a padded block, 32 MB in float64
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Leaves:
    """Which rows lie in which leaf.

    Attributes:
        leaf: int64 (members, n), the leaf of each row in each member; leaves of all members are
            numbered together.
        n_leaves: how many there are; one may be empty.
    """

    leaf: Tensor
    n_leaves: int

    @cached_property
    def sizes(self) -> Tensor:
        """int64 (k,), rows of each leaf."""
        return torch.bincount(self.leaf.flatten(), minlength=self.n_leaves)

    @cached_property
    def first(self) -> Tensor:
        """int64 (k,), where each leaf begins in :attr:`rows`."""
        return self.sizes.cumsum(0) - self.sizes

    @cached_property
    def rows(self) -> Tensor:
        """int64 (members * n,), the rows, leaf after leaf."""
        return torch.argsort(self.leaf.flatten(), stable=True) % self.leaf.shape[1]

    @cached_property
    def owner(self) -> Tensor:
        """int64 (members * n,), the leaf of each of :attr:`rows`."""
        return torch.arange(self.n_leaves, device=self.leaf.device).repeat_interleave(self.sizes)

    def mean(self, values: Tensor) -> Tensor:
        """Mean float64 (k, d) of values (n, d) over the rows of each leaf; 0 for an empty one."""
        total = values.new_zeros(self.n_leaves, values.shape[1], dtype=torch.float64)
        for own, x in self._parts(values):
            total.index_add_(0, own, x)
        return total / self.sizes.clamp(min=1)[:, None]

    def deviation(self, values: Tensor) -> Tensor:
        """Population standard deviation float64 (k, d) of values (n, d) in each leaf."""
        mean = self.mean(values)
        total = torch.zeros_like(mean)
        for own, x in self._parts(values):
            total.index_add_(0, own, (x - mean[own]).square_())
        return (total / self.sizes.clamp(min=1)[:, None]).sqrt_()

    def _parts(self, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Some rows at a time: their leaf in a member, and their values in float64.

        Rows follow each other in their order, so that sums do not depend on how many there are at
        a time.
        """
        for member in self.leaf:
            pieces = zip(member.split(ROWS_AT_ONCE), values.split(ROWS_AT_ONCE), strict=True)
            for own, x in pieces:
                yield own, x.double()

    def blocks(self, chosen: Tensor, cost: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows of the chosen leaves, in blocks of leaves of similar size.

        Args:
            chosen: int64, leaves with at least one row.
            cost: elements that each row of a block will take, which bounds the block.

        Yields:
            leaves int64 (b,) and their places in :attr:`rows`, int64 (b, m), with -1 beyond the
            size of a leaf.
        """
        chosen = chosen[torch.argsort(self.sizes[chosen], stable=True)]
        while len(chosen):
            smallest = int(self.sizes[chosen[0]])
            similar = int((self.sizes[chosen] <= 2 * smallest).sum())
            fits = max(1, PADDED_ELEMENTS // (2 * smallest * cost))
            taken, chosen = chosen[: min(similar, fits)], chosen[min(similar, fits) :]
            step = torch.arange(int(self.sizes[taken[-1]]), device=chosen.device)
            place = self.first[taken][:, None] + step
            yield taken, torch.where(step < self.sizes[taken][:, None], place, -1)


def deviation_of_rows(values: Tensor) -> Tensor:
    """Population standard deviation float64 (d,) of values (n, d), in bounded memory.

    Squares about the mean of some rows at a time, merged (Chan, Golub & LeVeque 1983, doi
    10.1080/00031305.1983.10483115).
    """
    count = 0
    mean = squares = values.new_zeros(values.shape[1], dtype=torch.float64)
    for part in values.split(ROWS_AT_ONCE):
        x = part.double()
        own = x.mean(dim=0)
        away, whole = own - mean, count + len(x)
        squares = squares + (x - own).square_().sum(dim=0) + away.square() * count * len(x) / whole
        mean = mean + away * len(x) / whole
        count = whole
    return (squares / count).sqrt()

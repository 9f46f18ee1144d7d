"""Sums and sorted rows by leaf, without a loop over leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["PADDED_ELEMENTS", "Leaves"]

PADDED_ELEMENTS = 2**22  # of a padded block, 32 MB in float64


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
        """Mean (k, d) of values (n, d) over the rows of each leaf; 0 for an empty one."""
        total = values.new_zeros(self.n_leaves, values.shape[1])
        for member in self.leaf:
            total.index_add_(0, member, values)
        return total / self.sizes.clamp(min=1)[:, None]

    def deviation(self, values: Tensor) -> Tensor:
        """Population standard deviation (k, d) of values (n, d) in each leaf."""
        mean = self.mean(values)
        total = torch.zeros_like(mean)
        for member in self.leaf:
            total.index_add_(0, member, (values - mean[member]).square_())
        return (total / self.sizes.clamp(min=1)[:, None]).sqrt_()

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

"""Which training row each draw starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.samplers.randomness import choose_below, random_words

__all__ = ["Allocation", "allocate", "hvrt_budgets", "systematic_budgets"]

Allocation = Literal["uniform", "systematic", "hvrt"]
Budgets = Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor]


def allocate(
    method: Literal["systematic", "hvrt"],
    n: int,
    labels: Tensor | None,
    leaf: Tensor,
    counts: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Divide n draws among the leaves, and choose a row of its leaf for each.

    Args:
        method: how the draws are divided; see :func:`systematic_budgets`, :func:`hvrt_budgets`.
        n: draws.
        labels: int64 (n,), the class of each draw; None divides among all leaves.
        leaf: int64 (rows,), the leaf of each row; rows are ordered by class, and with labels no
            leaf spans two classes.
        counts: int64 (k,), rows of each class.
        generator: on the rows' device.

    Returns:
        int64 (n,), a row for each draw, in random order.

    Raises:
        InputError: the method is unknown.
    """
    if method not in BUDGETS:
        raise InputError(
            f"the allocation '{method}' is unknown, expected uniform or one of "
            f"{', '.join(BUDGETS)}: choose one of them"
        )
    n_leaves = int(leaf.max()) + 1
    by_leaf = torch.argsort(leaf, stable=True)
    sizes = torch.bincount(leaf, minlength=n_leaves)
    first = sizes.cumsum(0) - sizes
    order = _shuffled(n, leaf.device, generator)
    if labels is None:
        group = torch.zeros(n_leaves, dtype=torch.long, device=leaf.device)
        wanted = torch.tensor([n], device=leaf.device)
    else:
        row_label = torch.arange(len(counts), device=leaf.device).repeat_interleave(counts)
        group = torch.zeros(n_leaves, dtype=torch.long, device=leaf.device)
        group.scatter_(0, leaf, row_label)
        wanted = torch.bincount(labels, minlength=len(counts))
        order = order[torch.argsort(labels[order], stable=True)]
    # Leaves in the order of their groups, as the draws are.
    arranged = torch.argsort(group, stable=True)
    arranged = arranged[sizes[arranged] > 0]  # a warm start may leave a leaf without rows
    budgets = BUDGETS[method](sizes[arranged], group[arranged], wanted, generator)
    chosen = arranged.repeat_interleave(budgets, output_size=n)  # (n,)
    within = random_words(n, 1, generator, leaf.device)[:, 0]
    rows = by_leaf[first[chosen] + choose_below(within, sizes[chosen])]
    return torch.empty_like(rows).scatter_(0, order, rows)


def systematic_budgets(
    sizes: Tensor, group: Tensor, wanted: Tensor, generator: torch.Generator
) -> Tensor:
    """Floor or ceiling of each leaf's expected number of draws, on average exactly that number.

    Args:
        sizes: int64 (k,), rows of each leaf; leaves of a group stand together.
        group: int64 (k,), the group of each leaf.
        wanted: int64 (g,), draws of each group.
        generator: on the leaves' device.

    Returns:
        int64 (k,).
    """
    total = torch.zeros_like(wanted).index_add_(0, group, sizes)
    expected = wanted[group].double() * sizes / total[group]
    # A start strictly between 0 and 1: rounding of the sum moves no draw from group to group.
    start = choose_below(random_words(1, 1, generator, sizes.device), 2**24).double()
    ends = (expected.cumsum(0) + (start[0, 0] + 0.5) * 2**-24).floor().long()
    return torch.diff(ends, prepend=ends.new_zeros(1))


def hvrt_budgets(
    sizes: Tensor, group: Tensor, wanted: Tensor, generator: torch.Generator
) -> Tensor:
    """The rounding of hvrt: down, and what is left goes one by one to the smallest budget.

    It is biased towards small leaves, the same way for every seed; for comparison only.
    Arguments and result are those of :func:`systematic_budgets`.
    """
    total = torch.zeros_like(wanted).index_add_(0, group, sizes)
    # hvrt multiplies the share by the number of draws, and its rounding is part of what it does.
    budgets = (sizes.double() / total[group] * wanted[group]).long()
    for g in range(len(wanted)):
        own = (group == g).nonzero()[:, 0]
        for _ in range(int(wanted[g] - budgets[own].sum())):
            budgets[own[budgets[own].argmin()]] += 1
    return budgets


BUDGETS: dict[str, Budgets] = {"systematic": systematic_budgets, "hvrt": hvrt_budgets}


def _shuffled(n: int, device: torch.device, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=device)

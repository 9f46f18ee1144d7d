"""Whether draws are nearer to training images than fresh real images are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvrt_diffuser.metrics.ranks import (
    FEWEST_FOR_TAIL,
    Bounds,
    mann_whitney_z,
    share_above,
    share_below_quantile,
)
from hvrt_diffuser.metrics.samples import Float64

__all__ = ["FEWEST_IN_CELL", "Copies", "copies"]

FEWEST_IN_CELL = 20  # fresh images, and draws, of a cell that is compared


class Copies(NamedTuple):
    """What distances to the nearest training image say of draws; intervals are of 95%.

    Attributes:
        tail: share of draws nearer than the 1% quantile of fresh images, .01 expected; None below
            100 fresh images, which have no such quantile.
        tail_low: see :func:`hvrt_diffuser.metrics.ranks.share_below_quantile`.
        tail_high: likewise.
        a: P(a draw is farther than a fresh image): .5 for fresh images, 0 for copies.
        a_low: see :func:`hvrt_diffuser.metrics.ranks.share_above`.
        a_high: likewise.
        ct: the test of Meehan et al. 2020, about N(0, 1) for fresh images and below 0 for copies;
            None where no cell holds enough of both.
        n_draws: how many draws.
        n_fresh: how many fresh images.
    """

    tail: float | None
    tail_low: float | None
    tail_high: float | None
    a: float
    a_low: float
    a_high: float
    ct: float | None
    n_draws: int
    n_fresh: int


def copies(
    draws: Float64,
    fresh: Float64,
    cell_of_draws: NDArray[np.integer],
    cell_of_fresh: NDArray[np.integer],
) -> Copies:
    """Compare the distances of draws to their nearest training images with those of fresh images.

    C_T (arXiv 2004.05675, section 3) is a Mann-Whitney Z in each cell of the space, weighted by the
    share of fresh images there. The sum is divided by the root of the sum of squared weights, which
    makes it N(0, 1) where draws are fresh.

    Args:
        draws: (n,), n at least 2.
        fresh: (m,), m at least 2.
        cell_of_draws: (n,), which cell each stands in.
        cell_of_fresh: (m,).
    """
    tail: Bounds = (None, None, None)
    if len(fresh) >= FEWEST_FOR_TAIL:
        tail = share_below_quantile(draws, fresh)
    z, weight = [], []
    for cell in np.unique(cell_of_fresh):
        of_draws, of_fresh = draws[cell_of_draws == cell], fresh[cell_of_fresh == cell]
        if min(len(of_draws), len(of_fresh)) >= FEWEST_IN_CELL:
            z.append(mann_whitney_z(of_draws, of_fresh))
            weight.append(len(of_fresh))
    ct = float(np.dot(weight, z) / np.linalg.norm(weight)) if z else None
    return Copies(*tail, *share_above(draws, fresh), ct, len(draws), len(fresh))

"""Whether somebody who holds an image can tell that a generator was trained on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hvrt_diffuser.metrics.ranks import FEWEST_FOR_TAIL, Bounds, share_above, share_below_quantile
from hvrt_diffuser.metrics.samples import Float64

__all__ = ["Membership", "membership", "membership_scores"]

COPY = 1e-4  # below the distance of images that differ at all, with pixels in [0, 1]


class Membership(NamedTuple):
    """How well an attack tells members from non-members; intervals are of 95%.

    Attributes:
        auc: P(a member scores above a non-member): .5 is a coin, 1 tells every member.
        auc_low: by DeLong, see :func:`hvrt_diffuser.metrics.ranks.share_above`.
        auc_high: likewise.
        tpr_at_1: share of members above the 99% quantile of non-members (Carlini et al. 2022,
            arXiv 2112.03570): .01 for a coin; None below 100 non-members.
        tpr_low: of the members and of the threshold, see
            :func:`hvrt_diffuser.metrics.ranks.share_below_quantile`.
        tpr_high: likewise.
        members: how many training images were attacked.
        non_members: how many others.
        n_released: how many images the attacker saw.
    """

    auc: float
    auc_low: float
    auc_high: float
    tpr_at_1: float | None
    tpr_low: float | None
    tpr_high: float | None
    members: int
    non_members: int
    n_released: int


def membership_scores(to_reference: Float64, to_released: Float64) -> Float64:
    """Log d(x, R) - log d(x, S): high where released images crowd about x more than others do.

    The nearest-neighbour form of DOMIAS (van Breugel et al. 2023, arXiv 2302.12580, eq. 2), and of
    the calibrated attack of GAN-leaks (Chen et al. 2020, arXiv 1909.03935, section 4.4). A distance
    of 0 counts as 1e-4, so that a copy has a finite score.

    Args:
        to_reference: (n,), from each image to the nearest that the attacker knows beside.
        to_released: (n,), to the nearest released image.

    Returns:
        (n,).
    """
    return np.log(np.maximum(to_reference, COPY)) - np.log(np.maximum(to_released, COPY))


def membership(members: Float64, non_members: Float64, n_released: int) -> Membership:
    """How well scores tell members from non-members.

    Args:
        members: (n,), n at least 2, scores of training images.
        non_members: (m,), m at least 2, of images that the generator never saw.
        n_released: how many images the scores rest on.
    """
    tpr: Bounds = (None, None, None)
    if len(non_members) >= FEWEST_FOR_TAIL:
        tpr = share_below_quantile(-members, -non_members)
    auc = share_above(members, non_members)
    return Membership(*auc, *tpr, len(members), len(non_members), n_released)

"""How two samples of one number stand to each other, with 95% intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, binom, norm, rankdata

from hvrt_diffuser.metrics.samples import Float64

__all__ = [
    "FEWEST_FOR_TAIL",
    "Bounds",
    "Share",
    "mann_whitney_z",
    "share_above",
    "share_below_quantile",
]

Bounds = tuple[float | None, float | None, float | None]
"""A figure and its 95% interval, None where it cannot be told."""

FEWEST_FOR_TAIL = 100  # of which one stands below the 1% quantile
TAIL = 0.01
Z = float(norm.ppf(0.975))


class Share(NamedTuple):
    """A probability with a 95% interval."""

    value: float
    low: float
    high: float


def share_above(a: Float64, b: Float64) -> Share:
    """P(a value of ``a`` is above one of ``b``), ties half: the area under the ROC curve.

    The variance is that of DeLong et al. 1988. Where the samples keep apart it would be 0: the
    error is at least half an observation of the smaller sample.

    Args:
        a: (n,), n at least 2.
        b: (m,), m at least 2.
    """
    n, m = len(a), len(b)
    ranks = rankdata(np.concatenate([a, b]))
    of_a = (ranks[:n] - rankdata(a)) / m  # the share of b below each value of a
    of_b = 1 - (ranks[n:] - rankdata(b)) / n
    value = float(of_a.mean())
    error = np.sqrt(of_a.var(ddof=1) / n + of_b.var(ddof=1) / m)
    reach = Z * max(float(error), 0.5 / min(n, m))
    return Share(value, max(value - reach, 0.0), min(value + reach, 1.0))


def share_below_quantile(a: Float64, b: Float64) -> Share:
    """The share of ``a`` below the 1% quantile of ``b``: .01 where both are of one law.

    Two errors are squared and added on each side (Zou & Donner 2008): that of a share (Clopper &
    Pearson 1934), and that of the quantile, below which a binomial number of ``b`` stands.

    Args:
        a: (n,).
        b: (m,), m at least 100.
    """
    n, m = len(a), len(b)
    ordered = np.sort(b)

    def below(rank: float) -> float:
        """How many of a are below the value of b with that many below it; of ties, the share."""
        if rank < 0:
            return 0.0
        at = ordered[min(int(rank), m - 1)]
        lower, upper = np.searchsorted(ordered, at), np.searchsorted(ordered, at, "right")
        part = (int(rank) - lower) / (upper - lower)
        return float((a < at).sum() + part * (a == at).sum())

    x = below(TAIL * m)
    value = x / n
    low = float(beta.ppf(0.025, x, n - x + 1)) if x else 0.0
    high = float(beta.ppf(0.975, x + 1, n - x)) if x < n else 1.0
    few, many = binom.ppf([0.025, 0.975], m, TAIL)
    least, most = below(few - 1) / n, below(many) / n
    return Share(
        value,
        max(value - math.hypot(value - low, value - least), 0.0),
        min(value + math.hypot(high - value, most - value), 1.0),
    )


def mann_whitney_z(a: Float64, b: Float64) -> float:
    """The standardised U: about N(0, 1) where both are of one law, below 0 where ``a`` is less.

    Ties are accounted for; all values equal give 0.

    Args:
        a: (n,).
        b: (m,).
    """
    n, m = len(a), len(b)
    ranks = rankdata(np.concatenate([a, b]))
    u = ranks[:n].sum() - n * (n + 1) / 2
    variance = n * m / (n + m) * ranks.var(ddof=1)
    return float((u - n * m / 2) / np.sqrt(variance)) if variance > 0 else 0.0

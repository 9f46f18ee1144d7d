"""Maximum mean discrepancy: how far the means of two samples lie apart under a kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.metrics import pairwise_distances_chunked

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import (
    Array,
    Float64,
    bounded_memory,
    check_samples,
    choose,
)

__all__ = ["KernelDistance", "kernel_distance", "mmd"]

SUBSETS = 100
SUBSET = 1000  # rows, where half of the smaller sample is as many
FOR_THE_MEDIAN = 1000  # rows whose distances set the bandwidth


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets."""

    mean: float
    std: float


def kernel_distance(
    a: Array, b: Array, *, subset_size: int | None = None, seed: int
) -> KernelDistance:
    """The kernel distance (KID): squared discrepancy under (x . y / d + 1)^3, without bias.

    Unlike the Fréchet distance it does not depend on the number of images, and equal distributions
    score 0 on average, so that it may fall below it (Binkowski et al. 2018, arXiv 1801.01401,
    section 4). Mean and deviation over 100 pairs of subsets.

    Args:
        a: (n, d).
        b: (m, d).
        subset_size: rows of a subset; None takes 1,000, and at most half of the smaller sample:
            subsets that are the whole sample do not deviate.
        seed: of the subsets.

    Raises:
        InputError: as for :func:`hvrt_diffuser.metrics.frechet_distance`, or a subset that is
            larger than a sample or smaller than 2.
    """
    a, b = check_samples(a, b)
    if subset_size is None:
        subset_size = min(SUBSET, max(2, min(len(a), len(b)) // 2))
    if not 2 <= subset_size <= min(len(a), len(b)):
        raise InputError(
            f"subsets of {subset_size} rows were asked for from samples of {len(a)} and {len(b)}, "
            f"expected 2 to {min(len(a), len(b))}: choose another subset size or give more images"
        )
    source = np.random.default_rng(seed)

    def kernel(x: Float64, y: Float64) -> Float64:
        k = x @ y.T / a.shape[1] + 1
        return k * k * k  # several times as fast as a power

    found = []
    for _ in range(SUBSETS):
        x, y = (s[source.choice(len(s), subset_size, replace=False)] for s in (a, b))
        within = [k.sum() - k.trace() for k in (kernel(x, x), kernel(y, y))]
        pairs = subset_size * (subset_size - 1)
        found.append(sum(within) / pairs - 2 * kernel(x, y).mean())
    return KernelDistance(float(np.mean(found)), float(np.std(found)))


def mmd(a: Array, b: Array, *, seed: int) -> float:
    """Squared maximum mean discrepancy under exp(-|x - y|^2 / 2 s^2), without bias.

    s is the median distance within both samples together, of at most 1,000 rows (Gretton et al.
    2012, "A Kernel Two-Sample Test", eq. 3 and section 8). Equal distributions score 0 on average.

    Args:
        a: (n, d), n at least 2.
        b: (m, d), m at least 2.
        seed: of the rows that set s.

    Raises:
        InputError: dimensions that differ, fewer than two rows, NaN, or rows that are all equal.
    """
    a, b = check_samples(a, b)
    if min(len(a), len(b)) < 2:
        raise InputError(
            f"samples of {len(a)} and {len(b)} rows were given, expected at least 2 each: give "
            "more images"
        )
    rows = choose(np.concatenate([a, b]), FOR_THE_MEDIAN, np.random.default_rng(seed))
    s = float(np.median(pdist(rows)))
    if s == 0:
        raise InputError(
            "most rows of the samples are equal, expected rows that vary: look at the images and "
            "the extractor that gave them"
        )

    # The same centre for both keeps the rounding of large means out of the distances.
    center = a.mean(axis=0)
    a, b = ((x - center) / s for x in (a, b))

    def total(x: Array, y: Array) -> float:
        def row_sums(squares: Float64, start: int) -> Float64:
            np.multiply(squares, -1 / 2, out=squares)
            return np.exp(squares, out=squares).sum(axis=1)

        with bounded_memory():
            sums = pairwise_distances_chunked(x, y, reduce_func=row_sums, squared=True)
            return float(sum(chunk.sum() for chunk in sums))

    # A row's kernel with itself is 1.
    within = [(total(x, x) - len(x)) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return sum(within) - 2 * total(a, b) / (len(a) * len(b))

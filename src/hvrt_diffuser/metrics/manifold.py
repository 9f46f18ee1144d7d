"""Precision, recall, density and coverage: the supports of two samples, as balls around rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, bounded_memory, check_samples

__all__ = ["Manifold", "manifold"]

Bool = NDArray[np.bool_]


class Manifold(NamedTuple):
    """How far the supports of a real and a synthetic sample agree.

    Attributes:
        precision: share of synthetic rows within a real row's ball: are they plausible?
        recall: share of real rows within a synthetic row's ball: could they have been made?
        density: mean number of real balls that hold a synthetic row, over k; about 1 for equal
            distributions, and not dominated by the large balls of outliers.
        coverage: share of real rows whose ball holds a synthetic row: is everything there?
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: Array, synthetic: Array, *, k: int = 5) -> Manifold:
    """Precision and recall, density and coverage, with balls that reach the k-th neighbour.

    A ball reaches to the k-th nearest row of the same sample, its border included. Kynkäänniemi et
    al. 2019, arXiv 1904.06991, eq. 1 and 2; Naeem et al. 2020, arXiv 2002.09797, eq. 4 and 5.

    Args:
        real: (n, d), n > k.
        synthetic: (m, d), m > k.
        k: neighbours.

    Raises:
        InputError: dimensions that differ, NaN, or no more rows than neighbours.
    """
    real, synthetic = check_samples(real, synthetic)
    if not 1 <= k < min(len(real), len(synthetic)):
        raise InputError(
            f"{k} neighbours were asked for among {len(real)} real and {len(synthetic)} synthetic "
            "rows, expected at least 1 and fewer than the rows of either: give more images"
        )
    # The same centre for both keeps the rounding of large means out of the distances.
    center = real.mean(axis=0)
    real, synthetic = real - center, synthetic - center
    with bounded_memory():
        real_radii, synthetic_radii = (_radii(x, k) for x in (real, synthetic))
        balls = np.zeros(len(synthetic), np.int64)  # real balls that hold each synthetic row

        def compare(distances: Float64, start: int) -> tuple[Bool, Bool]:
            """Of a chunk of real rows, which could have been made and which are there."""
            inside = distances <= real_radii[start : start + len(distances), None]
            balls[:] += inside.sum(axis=0)
            return np.any(distances <= synthetic_radii, axis=1), np.any(inside, axis=1)

        chunks = list(pairwise_distances_chunked(real, synthetic, reduce_func=compare))
    recall, coverage = (np.concatenate(parts).mean() for parts in zip(*chunks, strict=True))
    return Manifold(
        precision=float((balls > 0).mean()),
        recall=float(recall),
        density=float(balls.mean()) / k,
        coverage=float(coverage),
    )


def _radii(x: Array, k: int) -> Float64:
    """The distance of each row to its k-th nearest other row, rounded up.

    Squared distances come from a matrix product, whose rounding is that of the norms: without it
    rows on the border, and those of a sample with many equal rows, would fall out of the ball.
    """
    distances, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()
    radii = distances[:, -1]
    norms = 2 * np.linalg.norm(x, axis=1) + radii  # at most, of both rows together
    rounding = 4 * np.finfo(np.float64).eps * (x.shape[1] + 4)
    return np.sqrt(radii**2 + rounding * norms**2)

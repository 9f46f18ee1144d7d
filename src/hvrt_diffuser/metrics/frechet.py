"""The Fréchet distance between two sets of features."""

from __future__ import annotations

import numpy as np

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, check_samples

__all__ = ["frechet_distance", "frechet_distance_at_infinity"]

FRACTIONS = 8  # sizes between half of the images and all of them


def frechet_distance(a: Array, b: Array) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) in float64 (Dowson & Landau 1982; Heusel et
    al. 2017, arXiv 1706.08500, eq. 6, in any features). The trace of the root is that of a
    symmetric matrix, so that near-singular covariances give no complex roots. The distance falls
    as the sets grow: compare only figures of equal sizes, or :func:`frechet_distance_at_infinity`.

    Args:
        a: (n, d), n > d.
        b: (m, d), m > d.

    Raises:
        InputError: fewer rows than features plus one, features that differ in number, or NaN.
    """
    a, b = check_samples(a, b)
    if min(len(a), len(b)) <= a.shape[1]:
        raise InputError(
            f"{min(len(a), len(b))} images were given for a Fréchet distance in {a.shape[1]} "
            f"features, expected at least {a.shape[1] + 1}: give more images"
        )
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))  # (d, d)
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(product.clip(min=0)).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + trace
    return float(max(distance, 0.0))  # rounding may put identical sets a hair below 0


def frechet_distance_at_infinity(a: Array, b: Array, *, seed: int) -> float:
    """The Fréchet distance that infinitely many images of the first set would have.

    The distance of n images is that of infinitely many plus a term in 1 / n, so a line through the
    distances of several n, from half of the images to all, meets 1 / n = 0 there (Chong & Forsyth
    2020, arXiv 1911.07023, section 4). What the second set adds by its own size stays in it.
    Between like sets the noise of the line may put it below 0.

    Args:
        a: (n, d), n / 2 > d.
        b: (m, d), m > d.
        seed: of the subsets.

    Raises:
        InputError: as for :func:`frechet_distance`, of half of the images.
    """
    a, b = check_samples(a, b)
    source = np.random.default_rng(seed)
    sizes = np.linspace(len(a) // 2, len(a), FRACTIONS).astype(int)
    distances = [
        frechet_distance(a[source.choice(len(a), n, replace=False)], b) for n in sizes.tolist()
    ]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)

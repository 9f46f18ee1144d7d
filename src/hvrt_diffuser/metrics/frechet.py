"""The Fréchet distance between two sets of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hvrt_diffuser.errors import InputError

__all__ = ["frechet_distance"]

Array = NDArray[np.floating]


def frechet_distance(a: Array, b: Array) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) in float64 (Dowson & Landau 1982; Heusel et
    al. 2017, arXiv 1706.08500, eq. 6, in any features). The trace of the root is that of a
    symmetric matrix, so that near-singular covariances give no complex roots. The distance falls
    as the sets grow: compare only figures of equal sizes.

    Args:
        a: (n, d), n > d.
        b: (m, d), m > d.

    Raises:
        InputError: fewer rows than features plus one, features that differ in number, or NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(
            f"features of shapes {a.shape} and {b.shape} were given, expected (n, d) and (m, d): "
            "take both from one extractor"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            "the features hold NaN or infinite values, expected finite ones: "
            "look at the images and the extractor that gave them"
        )
    if min(len(a), len(b)) <= a.shape[1]:
        raise InputError(
            f"{min(len(a), len(b))} images were given for a Fréchet distance in {a.shape[1]} "
            f"features, expected at least {a.shape[1] + 1}: generate more images (generation.n) "
            "or hold out more of the real ones (dataset.test_fraction)"
        )
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))  # (d, d)
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(product.clip(min=0)).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + trace
    return float(max(distance, 0.0))  # rounding may put identical sets a hair below 0

"""How far the marginal distributions of two samples lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from hvrt_diffuser.errors import InputError

__all__ = ["kolmogorov_smirnov"]

Array = NDArray[np.floating]


def kolmogorov_smirnov(a: Array, b: Array) -> NDArray[np.float64]:
    """The two-sample Kolmogorov-Smirnov statistic of each dimension.

    The largest difference between two distribution functions: 0 is equal, 1 is disjoint.

    Args:
        a: (n, d).
        b: (m, d).

    Returns:
        float64 (d,).

    Raises:
        InputError: dimensions that differ, an empty sample, or NaN.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) == 0:
        raise InputError(
            f"samples of shapes {a.shape} and {b.shape} were given, expected (n, d) and (m, d): "
            "take both from one autoencoder"
        )
    if np.isnan(a).any() or np.isnan(b).any():
        raise InputError("the samples hold NaN, expected numbers: look at what made them")
    return np.array(
        [ks_2samp(x, y, method="asymp").statistic for x, y in zip(a.T, b.T, strict=True)]
    )

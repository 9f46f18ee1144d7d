"""How far the marginal distributions of two samples lie apart."""

from __future__ import annotations

import numpy as np
from scipy.stats import ks_2samp, wasserstein_distance

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, check_samples

__all__ = ["kolmogorov_smirnov", "wasserstein"]


def kolmogorov_smirnov(a: Array, b: Array) -> Float64:
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
    a, b = check_samples(a, b)
    return np.array(
        [ks_2samp(x, y, method="asymp").statistic for x, y in zip(a.T, b.T, strict=True)]
    )


def wasserstein(a: Array, b: Array) -> Float64:
    """The Wasserstein-1 distance of each dimension, in standard deviations of the second sample.

    The area between two distribution functions: where the Kolmogorov-Smirnov statistic says that
    they differ, it says by how far values would have to move.

    Args:
        a: (n, d).
        b: (m, d).

    Returns:
        float64 (d,).

    Raises:
        InputError: dimensions that differ, an empty sample, NaN, or a dimension that is constant
            in the second sample.
    """
    a, b = check_samples(a, b)
    # The deviation of equal values may be a rounding error, and that of tiny ones 0.
    scale = np.where(np.ptp(b, axis=0) > 0, b.std(axis=0), 0)
    if not scale.all():
        raise InputError(
            f"dimension {int(np.argmin(scale))} of the reference is constant, expected values that "
            "vary: leave it out of both samples"
        )
    pairs = zip(a.T / scale[:, None], b.T / scale[:, None], strict=True)
    return np.array([wasserstein_distance(x, y) for x, y in pairs])

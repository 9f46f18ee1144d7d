"""How far two samples lie apart along random directions."""

from __future__ import annotations

import ot

from hvrt_diffuser.metrics.samples import Array, check_samples

__all__ = ["sliced_wasserstein"]

PROJECTIONS = 200


def sliced_wasserstein(a: Array, b: Array, *, seed: int) -> float:
    """Sliced Wasserstein-2 distance: the root mean square over random directions of unit length.

    Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures"; by POT.

    Args:
        a: (n, d).
        b: (m, d).
        seed: of the directions.

    Raises:
        InputError: dimensions that differ, an empty sample, or NaN.
    """
    a, b = check_samples(a, b)
    return float(ot.sliced_wasserstein_distance(a, b, n_projections=PROJECTIONS, seed=seed % 2**32))

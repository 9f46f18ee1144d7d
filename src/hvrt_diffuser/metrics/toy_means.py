"""A distance of means: how many files a new metric touches."""

from __future__ import annotations

from hvrt_diffuser.metrics.samples import Array

__all__ = ["distance_of_means"]


def distance_of_means(real: Array, synthetic: Array) -> float:
    """Euclidean distance of the means of features (m, f) and (n, f)."""
    return float(sum((real.mean(0) - synthetic.mean(0)) ** 2) ** 0.5)

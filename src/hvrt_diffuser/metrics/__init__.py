"""Measures of likeness: pure functions of arrays, in float64."""

from hvrt_diffuser.metrics.frechet import frechet_distance
from hvrt_diffuser.metrics.inception import inception_score
from hvrt_diffuser.metrics.marginals import kolmogorov_smirnov
from hvrt_diffuser.metrics.neighbours import attribution, dcr_ratio, nearest

__all__ = [
    "attribution",
    "dcr_ratio",
    "frechet_distance",
    "inception_score",
    "kolmogorov_smirnov",
    "nearest",
]

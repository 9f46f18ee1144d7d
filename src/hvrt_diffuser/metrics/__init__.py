"""Measures of likeness: pure functions of arrays, in float64; some by name."""

from hvrt_diffuser.metrics.frechet import frechet_distance, frechet_distance_at_infinity
from hvrt_diffuser.metrics.inception import inception_score
from hvrt_diffuser.metrics.kernels import KernelDistance, kernel_distance, mmd
from hvrt_diffuser.metrics.manifold import Manifold, manifold
from hvrt_diffuser.metrics.marginals import kolmogorov_smirnov, wasserstein
from hvrt_diffuser.metrics.named import METRICS, Metric, named_metrics
from hvrt_diffuser.metrics.neighbours import (
    Novelty,
    attribution,
    authenticity,
    closest,
    dcr_ratio,
    nearest,
    novelty,
)
from hvrt_diffuser.metrics.sliced import sliced_wasserstein
from hvrt_diffuser.metrics.two_sample import (
    TwoSampleTest,
    classifier_test,
    nearest_neighbour_test,
)
from hvrt_diffuser.metrics.variety import vendi_score

__all__ = [
    "METRICS",
    "KernelDistance",
    "Manifold",
    "Metric",
    "Novelty",
    "TwoSampleTest",
    "attribution",
    "authenticity",
    "classifier_test",
    "closest",
    "dcr_ratio",
    "frechet_distance",
    "frechet_distance_at_infinity",
    "inception_score",
    "kernel_distance",
    "kolmogorov_smirnov",
    "manifold",
    "mmd",
    "named_metrics",
    "nearest",
    "nearest_neighbour_test",
    "novelty",
    "sliced_wasserstein",
    "vendi_score",
    "wasserstein",
]

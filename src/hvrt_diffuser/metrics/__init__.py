"""Measures of likeness: pure functions of arrays, in float64; some by name."""

from hvrt_diffuser.metrics.copies import Copies, copies
from hvrt_diffuser.metrics.doubt import Doubts, doubted_labels
from hvrt_diffuser.metrics.duplicates import equal_images, near_images, usual_distance
from hvrt_diffuser.metrics.frechet import frechet_distance, frechet_distance_at_infinity
from hvrt_diffuser.metrics.inception import inception_score
from hvrt_diffuser.metrics.kernels import KernelDistance, kernel_distance, mmd
from hvrt_diffuser.metrics.likelihood import likelihood_gap
from hvrt_diffuser.metrics.likeness import Excess, excess_frechet, kernel_test
from hvrt_diffuser.metrics.manifold import Manifold, manifold
from hvrt_diffuser.metrics.marginals import kolmogorov_smirnov, wasserstein
from hvrt_diffuser.metrics.membership import Membership, membership, membership_scores
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
from hvrt_diffuser.metrics.ranks import Share, mann_whitney_z, share_above, share_below_quantile
from hvrt_diffuser.metrics.registered import blurred, closest_images, registered_nearest
from hvrt_diffuser.metrics.rows import PixelRows
from hvrt_diffuser.metrics.sliced import sliced_wasserstein
from hvrt_diffuser.metrics.two_sample import (
    TwoSampleTest,
    classifier_test,
    nearest_neighbour_test,
)
from hvrt_diffuser.metrics.variety import vendi_score

__all__ = [
    "METRICS",
    "Copies",
    "Doubts",
    "Excess",
    "KernelDistance",
    "Manifold",
    "Membership",
    "Metric",
    "Novelty",
    "PixelRows",
    "Share",
    "TwoSampleTest",
    "attribution",
    "authenticity",
    "blurred",
    "classifier_test",
    "closest",
    "closest_images",
    "copies",
    "dcr_ratio",
    "doubted_labels",
    "equal_images",
    "excess_frechet",
    "frechet_distance",
    "frechet_distance_at_infinity",
    "inception_score",
    "kernel_distance",
    "kernel_test",
    "kolmogorov_smirnov",
    "likelihood_gap",
    "manifold",
    "mann_whitney_z",
    "membership",
    "membership_scores",
    "mmd",
    "named_metrics",
    "near_images",
    "nearest",
    "nearest_neighbour_test",
    "novelty",
    "registered_nearest",
    "share_above",
    "share_below_quantile",
    "sliced_wasserstein",
    "usual_distance",
    "vendi_score",
    "wasserstein",
]

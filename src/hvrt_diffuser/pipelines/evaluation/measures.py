"""The one place where a measure is added: a function of the evidence, and its name."""

from __future__ import annotations

from collections.abc import Callable

from hvrt_diffuser.metrics import frechet_distance, inception_score, kolmogorov_smirnov
from hvrt_diffuser.pipelines.evaluation.evidence import Evidence

__all__ = ["MEASURES"]

Measured = dict[str, float]


def fd_classifier(evidence: Evidence) -> Measured:
    """Fréchet distance to the test images in the judge's features."""
    test = evidence.features["test"]
    return {
        name: frechet_distance(features, test)
        for name, features in evidence.features.items()
        if name != "test"
    }


def inception_score_classifier(evidence: Evidence) -> Measured:
    """Inception score in the judge's probabilities."""
    return {name: inception_score(p) for name, p in evidence.probabilities.items()}


def latent_ks(evidence: Evidence) -> Measured:
    """Kolmogorov-Smirnov statistic against the test latents, averaged over dimensions."""
    test = evidence.latents["test"]
    return {
        name: float(kolmogorov_smirnov(latents, test).mean())
        for name, latents in evidence.latents.items()
        if name != "test"
    }


MEASURES: dict[str, Callable[[Evidence], Measured]] = {
    "fd_classifier": fd_classifier,
    "inception_score_classifier": inception_score_classifier,
    "latent_ks": latent_ks,
}

"""How far the probabilities of a classifier are to be believed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Calibration", "calibration"]

BINS = 15
LEAST = 6e-8  # what a float16 cannot tell from 0


class Calibration(NamedTuple):
    """Scores of probabilities, all the better the smaller.

    Attributes:
        brier: mean squared distance to the true class, 0 to 2 (Brier 1950).
        nll: mean negative log likelihood of the true class, nats.
        ece: mean distance of confidence and accuracy over 15 bins of confidence, 0 to 1 (Guo et
            al., arXiv 1706.04599).
    """

    brier: float
    nll: float
    ece: float


def calibration(probabilities: ArrayLike, labels: ArrayLike) -> Calibration:
    """Score class probabilities (m, k) of images with labels (m,)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    of_label = p[np.arange(len(y)), y]
    brier = (p**2).sum(axis=1) - 2 * of_label + 1
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=BINS)
    return Calibration(
        float(brier.mean()),
        float(-np.log(of_label.clip(LEAST, 1)).mean()),
        float(np.abs(gaps).sum() / len(y)),
    )

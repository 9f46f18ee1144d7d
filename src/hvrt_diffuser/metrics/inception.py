"""The inception score, in any classifier's probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hvrt_diffuser.common.errors import InputError

__all__ = ["inception_score"]


def inception_score(probabilities: NDArray[np.floating]) -> float:
    """exp(E_x KL(p(y|x) || p(y))): between 1 and the number of classes.

    High where each image is classified with confidence and the classes are even (Salimans et al.
    2016, arXiv 1606.03498, section 4). It sees neither copies nor variety within a class.

    Args:
        probabilities: (n, k), rows that sum to 1.

    Raises:
        InputError: rows that are no distributions.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or len(p) == 0 or not np.allclose(p.sum(1), 1, atol=1e-4) or (p < 0).any():
        raise InputError(
            f"class probabilities of shape {p.shape} do not sum to 1 in every row, expected "
            "distributions: give the softmax of a classifier"
        )
    marginal = p.mean(0)
    ratio = np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(marginal, 1e-300))
    return float(np.exp((p * ratio).sum(1).mean()))

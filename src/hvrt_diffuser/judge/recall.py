"""How many of a rare class are found where those who are named must mostly belong to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.judge.intervals import RESAMPLES, Interval

__all__ = ["recall_at_precision"]

FEWEST = 10  # test images of the class, below which its recall has no meaning
AT_ONCE = 100  # resamples in memory
ENDS = (0.025, 0.975)


def recall_at_precision(
    probabilities: Sequence[ArrayLike],
    labels: ArrayLike,
    positive: int,
    counts: ArrayLike,
    *,
    precision: float,
    seed: int,
) -> Interval | str:
    """The largest recall of a class over the thresholds that have a precision, in percent.

    Test images count as often as their class is as common in training as among them, or else the
    precision would be that of a world in which the rare class is common. Where a resample has no
    such threshold its recall is 0: nobody is found.

    Args:
        probabilities: by repetition, (m,), of the class.
        labels: (m,), of the test images.
        positive: the class.
        counts: (k,), training images of each class.
        precision: of the images at or above a threshold, at least.
        seed: of the resampling, by class, of test images and of repetitions.

    Returns:
        The mean over repetitions and its 95 % interval, or why there is none.
    """
    labels, counts = np.asarray(labels), np.asarray(counts)
    tested = np.bincount(labels, minlength=len(counts))
    if tested[positive] < FEWEST:
        return f"{tested[positive]} test images of this class, expected at least {FEWEST}"
    weights = (counts / np.maximum(tested, 1))[labels]
    curves = [_Thresholds(np.asarray(p), labels == positive, weights) for p in probabilities]
    once = np.ones((1, len(labels)))
    recalls = np.array([curve.recall(once, precision)[0] for curve in curves])
    if not recalls.any():
        return f"no threshold reaches a precision of {precision:.0%}"
    source = np.random.default_rng(derive_seed(seed, "recall"))
    groups = [(labels == c).nonzero()[0] for c in np.unique(labels)]
    draws = []
    for start in range(0, RESAMPLES, AT_ONCE):
        rows = min(AT_ONCE, RESAMPLES - start)
        times = np.zeros((rows, len(labels)))
        for own in groups:
            times[:, own] = source.multinomial(
                len(own), np.full(len(own), 1 / len(own)), len(times)
            )
        draws.append(np.stack([curve.recall(times, precision) for curve in curves], axis=1))
    drawn = (_of_repetitions(len(curves), source) * np.concatenate(draws)).sum(axis=1)
    low, high = (100 * np.clip(np.quantile(drawn, ENDS), 0, 1)).tolist()
    mean = 100 * float(recalls.mean())
    return Interval(mean, min(low, mean), max(high, mean))


class _Thresholds:
    """Test images from the most probable one down: what each threshold finds."""

    def __init__(
        self, probability: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[Any]
    ) -> None:
        self.order = np.argsort(-probability, kind="stable")
        self.positive = positive[self.order]
        self.weights = weights[self.order]
        own = probability[self.order]
        self.ends = np.append(own[1:] != own[:-1], True).nonzero()[0]  # of those alike

    def recall(self, times: NDArray[Any], precision: float) -> NDArray[np.float64]:
        """Of resamples (b, m), how often each has an image, the recall, (b,)."""
        times = times[:, self.order]
        weight = times * self.weights
        found = np.cumsum(times * self.positive, axis=1)
        true = np.cumsum(weight * self.positive, axis=1)[:, self.ends]
        everything = np.cumsum(weight, axis=1)[:, self.ends]
        enough = (true > 0) & (true >= precision * everything * (1 - 1e-12))
        best: NDArray[np.float64] = (found[:, self.ends] * enough).max(axis=1) / found[:, -1]
        return best


def _of_repetitions(n: int, source: np.random.Generator) -> NDArray[np.float64]:
    """Weights of repetitions in each resample, (b, n), as ``intervals`` has them for accuracies."""
    weights = np.full((RESAMPLES, n), 1 / n)
    if n > 1:
        spread = math.sqrt(n / (n - 1)) * float(t.ppf(ENDS[1], n - 1) / norm.ppf(ENDS[1]))
        weights += spread * (source.multinomial(n, weights[0], size=RESAMPLES) / n - weights)
    return weights

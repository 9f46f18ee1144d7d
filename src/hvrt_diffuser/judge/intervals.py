"""How sure an accuracy or a gain is, given other test images and other repetitions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from hvrt_diffuser.common.seeding import derive_seed

__all__ = [
    "RESAMPLES",
    "Interval",
    "bootstrap",
    "bootstrap_gain",
    "gain_p",
    "holm",
    "repetition_weights",
]

RESAMPLES = 2000
TAIL = 0.025  # outside the interval, each way

Key = TypeVar("Key", bound=Hashable)
Seen = Sequence[ArrayLike] | NDArray[Any]


class Interval(NamedTuple):
    """An estimate and its 95 % interval, in points (percent)."""

    mean: float
    low: float
    high: float


def bootstrap(right: Seen, labels: ArrayLike, *, seed: int, balanced: bool = False) -> Interval:
    """Accuracy over repetitions and test images, in percent, by a two-way bootstrap.

    Test images are resampled within their class and repetitions as a whole, independently (the
    pigeonhole bootstrap of Owen, arXiv 0712.1111), see :func:`repetition_weights`.

    Args:
        right: by repetition, (m,): which test images were recognised.
        labels: (m,), the class of each test image.
        seed: of the resampling.
        balanced: the mean over classes of their accuracies.
    """
    values = 100 * np.asarray(right, np.float64)
    return _interval(values, labels, seed, balanced, 0.0)


def bootstrap_gain(
    right: Seen,
    other: Seen,
    labels: ArrayLike,
    *,
    seed: int,
    balanced: bool = False,
) -> Interval:
    """The accuracy of ``right`` minus that of ``other``, in points, as :func:`bootstrap` does it.

    The two are paired by test image and by repetition: ``other`` is shaped as ``right``.
    """
    return _interval(_difference(right, other), labels, seed, balanced, -100.0)


def gain_p(
    right: Seen,
    other: Seen,
    labels: ArrayLike,
    *,
    seed: int,
    balanced: bool = False,
) -> float:
    """Two-sided p of no gain: twice the smaller share of resampled gains on one side of 0."""
    draws = _resampled(_difference(right, other), labels, seed, balanced)[1]
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    return min(1.0, 2 * float(beyond + 1) / (len(draws) + 1))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """P values corrected for their number (Holm 1979), in the order given."""
    adjusted: dict[Key, float] = {}
    least = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = least
    return {key: adjusted[key] for key in p_values}


def repetition_weights(repetitions: int, source: np.random.Generator) -> NDArray[np.float64]:
    """How much each repetition counts in each resample, (b, repetitions); rows sum to 1.

    Their deviations from even weights are widened: means of r that are resampled vary (r - 1) / r
    times too little, and as a normal variable where their mean over its error is Student's t.
    """
    even = np.full((RESAMPLES, repetitions), 1 / repetitions)
    if repetitions == 1:
        return even
    spread = math.sqrt(repetitions / (repetitions - 1))
    spread *= float(t.ppf(1 - TAIL, repetitions - 1) / norm.ppf(1 - TAIL))
    counts = source.multinomial(repetitions, even[0], size=RESAMPLES)
    return even + spread * (counts / repetitions - even)


def _difference(right: Seen, other: Seen) -> NDArray[np.float64]:
    first, second = (100 * np.asarray(values, np.float64) for values in (right, other))
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} against {second.shape}: a gain is of pairs")
    return first - second


def _interval(
    values: NDArray[np.float64], labels: ArrayLike, seed: int, balanced: bool, least: float
) -> Interval:
    mean, draws = _resampled(values, labels, seed, balanced)
    low, high = np.clip(np.quantile(draws, [TAIL, 1 - TAIL]), least, 100.0).tolist()
    return Interval(mean, min(low, mean), max(high, mean))


def _resampled(
    values: NDArray[np.float64], labels: ArrayLike, seed: int, balanced: bool
) -> tuple[float, NDArray[np.float64]]:
    """The mean of values (r, m) over repetitions and images, and of each resample, (b,)."""
    classes = np.asarray(labels)
    source = np.random.default_rng(derive_seed(seed, "bootstrap"))
    weights = repetition_weights(len(values), source)
    found = np.unique(classes)
    mean, draws = 0.0, np.zeros(weights.shape)
    for c in found:
        own = values[:, classes == c].T  # (m_c, r)
        share = 1 / len(found) if balanced else len(own) / len(classes)
        # Images that all repetitions see alike are one outcome of the draw: few outcomes for many.
        outcomes, times = np.unique(own, axis=0, return_counts=True)
        drawn = source.multinomial(len(own), times / len(own), size=RESAMPLES)
        draws += share * (drawn @ outcomes) / len(own)
        mean += share * float(own.mean())
    return mean, (weights * draws).sum(axis=1)

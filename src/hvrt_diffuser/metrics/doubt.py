"""Labels that probabilities doubt: confident learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, check_sample

__all__ = ["Doubts", "doubted_labels"]


class Doubts(NamedTuple):
    """Rows whose label is doubted, the most doubtful first.

    Attributes:
        rows: int64 (d,).
        likelier: int64 (d,), the likeliest other class of each.
        probability: float64 (d,), of that class.
    """

    rows: NDArray[np.int64]
    likelier: NDArray[np.int64]
    probability: Float64


def doubted_labels(probabilities: Array, labels: ArrayLike) -> Doubts:
    """Confident learning, pruned by class (Northcutt et al. 2021, arXiv 1911.00068).

    A class is confident of a row that has at least the probability that rows with its label have
    on average; the likeliest confident class is taken for the row's true one (equations 1 and 2).
    Of each label, the share whose true class is another one says how many rows are doubted
    (equation 3): those that have the label with the least probability (section 3.2).

    Args:
        probabilities: (n, k), each row of a model that was not trained on it.
        labels: int (n,), 0 ... k - 1.

    Raises:
        InputError: shapes or labels that do not fit together.
    """
    p, given = check_sample(probabilities), np.asarray(labels)
    n, k = p.shape
    if given.shape != (n,) or given.min() < 0 or given.max() >= k or k < 2:
        raise InputError(
            f"labels of shape {given.shape} were given for probabilities of shape {p.shape}, "
            f"expected {n} labels from 0 to {k - 1} of at least 2 classes: give each row's label"
        )
    present = np.unique(given)
    threshold = np.full(k, np.inf)
    threshold[present] = [p[given == label, label].mean() for label in present]
    confident = np.where(p >= threshold, p, -1.0)
    true = np.where(confident.max(axis=1) < 0, -1, confident.argmax(axis=1))
    own = p[np.arange(n), given]
    doubted = []
    for label in present:
        rows = np.flatnonzero(given == label)
        sure = true[rows][true[rows] >= 0]
        other = (sure != label).mean() if len(sure) else 0.0
        doubted.append(rows[own[rows].argsort(kind="stable")][: round(other * len(rows))])
    rows = np.concatenate(doubted)
    rows = rows[own[rows].argsort(kind="stable")]
    rest = p[rows]
    rest[np.arange(len(rows)), given[rows]] = -1.0
    return Doubts(rows, rest.argmax(axis=1), rest.max(axis=1))

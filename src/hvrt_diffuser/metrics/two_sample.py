"""Can a classifier tell two samples apart? An accuracy of one half says that it cannot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import (
    Array,
    Float64,
    bounded_memory,
    check_samples,
    choose,
)

__all__ = ["TwoSampleTest", "classifier_test", "nearest_neighbour_test"]

FEWEST = 4  # rows of each sample: two to learn from and two to be asked about


class TwoSampleTest(NamedTuple):
    """Share of rows whose sample was told, with a 95% interval (Wilson 1927)."""

    accuracy: float
    low: float
    high: float


def classifier_test(a: Array, b: Array, *, seed: int) -> TwoSampleTest:
    """Accuracy on one half of a logistic regression that was fitted on the other half.

    Lopez-Paz & Oquab 2017, arXiv 1610.06545, section 3. Of the larger sample as many rows as the
    smaller has are drawn, so that one half is chance.

    Args:
        a: (n, d), n at least 4.
        b: (m, d), m at least 4.
        seed: of the halves.

    Raises:
        InputError: dimensions that differ, too few rows, or NaN.
    """
    x, y = _even(a, b, seed)
    x_fit, x_test, y_fit, y_test = train_test_split(
        x, y, test_size=0.5, stratify=y, random_state=seed % 2**32
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x_fit, y_fit)
    return _share(model.predict(x_test) == y_test)


def nearest_neighbour_test(a: Array, b: Array, *, seed: int) -> TwoSampleTest:
    """Share of rows whose nearest other row is of the same sample.

    Above one half, the samples keep apart; below it, rows of one are near copies of rows of the
    other (Xu et al. 2018, arXiv 1806.07755, section 2.2). The interval takes rows as independent,
    which neighbours are not quite. Of the larger sample as many rows as the smaller has are drawn.

    Args, raises: as :func:`classifier_test`.
    """
    x, y = _even(a, b, seed)
    x -= x.mean(axis=0)
    with bounded_memory():
        model = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(x)
        neighbour = model.kneighbors(return_distance=False)[:, 0]
    return _share(y[neighbour] == y)


def _even(a: Array, b: Array, seed: int) -> tuple[Float64, NDArray[np.int64]]:
    """As many rows of both samples, and which sample each comes from."""
    a, b = check_samples(a, b)
    n = min(len(a), len(b))
    if n < FEWEST:
        raise InputError(
            f"samples of {len(a)} and {len(b)} rows were given to be told apart, expected at "
            f"least {FEWEST} each: give more images"
        )
    source = np.random.default_rng(seed)
    x = np.concatenate([choose(a, n, source), choose(b, n, source)])
    return x, np.repeat([0, 1], n)


def _share(told: NDArray[np.bool_]) -> TwoSampleTest:
    test = binomtest(int(told.sum()), len(told))
    interval = test.proportion_ci(0.95, method="wilson")
    return TwoSampleTest(float(test.statistic), float(interval.low), float(interval.high))

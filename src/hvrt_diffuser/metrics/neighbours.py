"""Nearest neighbours: whose copy is a draw, and how far is it from being one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, bounded_memory, check_samples

__all__ = [
    "Novelty",
    "attribution",
    "authenticity",
    "closest",
    "dcr_ratio",
    "nearest",
    "novelty",
]


def nearest(queries: Array, reference: Array) -> tuple[NDArray[np.int64], Float64]:
    """The nearest reference row of each query, and its Euclidean distance; in bounded memory.

    Args:
        queries: (n, d).
        reference: (m, d).

    Returns:
        int64 (n,) and float64 (n,).

    Raises:
        InputError: dimensions that differ, an empty set, or NaN.
    """
    queries, reference = check_samples(queries, reference)
    # Squared distances come from a matrix product, whose rounding is that of large norms: about
    # the mean, and in float64, it is far below the distances between latents.
    center = reference.mean(axis=0)
    with bounded_memory():
        index = pairwise_distances_argmin(queries - center, reference - center)
    return index, _distance(queries, reference[index])


def _distance(a: Float64, b: Float64) -> Float64:
    """The distance of each row to the one beside it; 0 where they are equal, without rounding."""
    difference = a - b
    return np.sqrt(np.einsum("ij,ij->i", difference, difference))


def closest(queries: Array, reference: Array, k: int) -> tuple[NDArray[np.int64], Float64]:
    """The k nearest reference rows of each query, nearest first, and their Euclidean distances.

    Args:
        queries: (n, d).
        reference: (m, d), m at least k.
        k: how many.

    Returns:
        int64 (n, k) and float64 (n, k).

    Raises:
        InputError: dimensions that differ, an empty set, NaN, or fewer rows than neighbours.
    """
    queries, reference = check_samples(queries, reference)
    if not 1 <= k <= len(reference):
        raise InputError(
            f"{k} neighbours were asked for among {len(reference)} rows, expected 1 to "
            f"{len(reference)}: ask for fewer"
        )
    center = reference.mean(axis=0)
    with bounded_memory():
        model = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference - center)
        index = model.kneighbors(queries - center, return_distance=False)
    distance = np.stack([_distance(queries, reference[rows]) for rows in index.T], axis=1)
    order = distance.argsort(axis=1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(distance, order, 1)


def attribution(draws: Array, rows: NDArray[np.int64], training: Array) -> float:
    """The share of draws whose nearest training row is the row that they came from.

    Args:
        draws: (n, d).
        rows: int64 (n,), the training row of each draw.
        training: (m, d).

    Raises:
        InputError: as for :func:`nearest`, or rows of another number.
    """
    if len(rows) != len(draws):
        raise InputError(
            f"{len(rows)} rows were given for {len(draws)} draws, expected one per draw: give the "
            "rows that came with the draws"
        )
    found, _ = nearest(draws, training)
    # Of training rows that are equal, either is the one.
    same = (found == rows) | (training[found] == training[rows]).all(axis=1)
    return float(same.mean())


class Novelty(NamedTuple):
    """How far draws are from being copies.

    Attributes:
        dcr_ratio: see :func:`dcr_ratio`.
        authentic: see :func:`authenticity`.
        authentic_held_out: the same share of the held-out rows, which are no copies.
    """

    dcr_ratio: float
    authentic: float
    authentic_held_out: float


def novelty(draws: Array, training: Array, held_out: Array) -> Novelty:
    """What the nearest training rows say of draws, and of real data that no model has seen.

    Args:
        draws: (n, d).
        training: (m, d), m at least 2.
        held_out: (k, d), real data that no model was fitted on.

    Raises:
        InputError: as for :func:`dcr_ratio`, or a single training row.
    """
    draws, training = check_samples(draws, training)
    _check_neighbours(training)
    found = [nearest(draws, training), nearest(held_out, training)]
    own = _own_distance(np.concatenate([rows for rows, _ in found]), training)
    own_of_draws, own_of_held_out = np.split(own, [len(draws)])
    (_, of_draws), (_, of_held_out) = found
    return Novelty(
        _ratio(of_draws, of_held_out),
        float((of_draws > own_of_draws).mean()),
        float((of_held_out > own_of_held_out).mean()),
    )


def authenticity(draws: Array, training: Array) -> float:
    """AuthPct, as a share (Alaa et al. 2022, arXiv 2102.08921, section 4.3).

    Of draws, those that are farther from their nearest training row than that row is from its own
    nearest.

    Args:
        draws: (n, d).
        training: (m, d), m at least 2.

    Raises:
        InputError: as for :func:`nearest`, or a single training row.
    """
    draws, training = check_samples(draws, training)
    _check_neighbours(training)
    rows, distance = nearest(draws, training)
    return float((distance > _own_distance(rows, training)).mean())


def _check_neighbours(training: Float64) -> None:
    if len(training) < 2:
        raise InputError(
            "1 training row was given, expected at least 2: their distances are what authentic "
            "draws are compared with"
        )


def _own_distance(rows: NDArray[np.int64], training: Float64) -> Float64:
    """The distance of each of these training rows (n,), which may repeat, to its own nearest."""
    needed, which = np.unique(rows, return_inverse=True)
    own = closest(training[needed], training, 2)[1][:, 1]  # the first is the row itself
    return own[which]


def dcr_ratio(draws: Array, training: Array, held_out: Array) -> float:
    """Distance to the closest training record, relative to that of held-out real data.

    The ratio of the medians: 1 is as far as fresh data are, 0 is a copy.

    Args:
        draws: (n, d).
        training: (m, d).
        held_out: (k, d), real data that no model was fitted on.

    Raises:
        InputError: as for :func:`nearest`, or held-out data that are copies themselves.
    """
    return _ratio(nearest(draws, training)[1], nearest(held_out, training)[1])


def _ratio(of_draws: Float64, of_held_out: Float64) -> float:
    """The ratio of the median distances to the closest training row."""
    usual = float(np.median(of_held_out))
    if usual == 0:
        raise InputError(
            "most held-out rows stand among the training rows, expected fresh data: give data that "
            "the model was not fitted on"
        )
    return float(np.median(of_draws)) / usual

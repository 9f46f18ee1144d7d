"""Nearest neighbours: whose copy is a draw, and how far is it from being one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.rows import AT_ONCE, PixelRows, blocks, check_rows, chosen
from hvrt_diffuser.metrics.samples import Array, Float64

__all__ = [
    "Novelty",
    "attribution",
    "authenticity",
    "closest",
    "dcr_ratio",
    "nearest",
    "novelty",
]

Rows = Array | PixelRows


def nearest(queries: Rows, reference: Rows) -> tuple[NDArray[np.int64], Float64]:
    """The nearest reference row of each query, and its Euclidean distance; in bounded memory.

    Args:
        queries: (n, d).
        reference: (m, d).

    Returns:
        int64 (n,) and float64 (n,).

    Raises:
        InputError: dimensions that differ, an empty set, or NaN.
    """
    index, distance = closest(queries, reference, 1)
    return index[:, 0], distance[:, 0]


def closest(queries: Rows, reference: Rows, k: int) -> tuple[NDArray[np.int64], Float64]:
    """The k nearest reference rows of each query, nearest first, and their Euclidean distances.

    Exact, block by block, the best k kept: memory does not grow with the rows, and images may be
    given as :class:`PixelRows`.

    Args:
        queries: (n, d).
        reference: (m, d), m at least k.
        k: how many.

    Returns:
        int64 (n, k) and float64 (n, k).

    Raises:
        InputError: dimensions that differ, an empty set, NaN, or fewer rows than neighbours.
    """
    check_rows(queries, reference)
    if not 1 <= k <= len(reference):
        raise InputError(
            f"{k} neighbours were asked for among {len(reference)} rows, expected 1 to "
            f"{len(reference)}: ask for fewer"
        )
    # Squared distances come from a matrix product, whose rounding is that of large norms: about
    # a mean, and in float64, it is far below the distances between latents.
    center = _center(reference)
    index = np.zeros((len(queries), k), np.int64)
    distance = np.zeros((len(queries), k))
    for start, x in blocks(queries):
        rows = _closest_rows(x - center, reference, center, k)
        away = np.stack([_distances(x, reference, each) for each in rows.T], axis=1)
        order = away.argsort(axis=1, kind="stable")
        index[start : start + len(x)] = np.take_along_axis(rows, order, 1)
        distance[start : start + len(x)] = np.take_along_axis(away, order, 1)
    return index, distance


def _center(reference: Rows) -> Float64:
    total = sum(block.sum(axis=0) for _, block in blocks(reference))
    center: Float64 = np.asarray(total) / len(reference)
    return center


def _closest_rows(x: Float64, reference: Rows, center: Float64, k: int) -> NDArray[np.int64]:
    """The k nearest reference rows of each centred query, int64 (n, k), the nearest first."""
    score: Float64 = np.empty((len(x), 0))
    index: NDArray[np.int64] = np.empty((len(x), 0), np.int64)
    step = max(1, AT_ONCE // len(x))  # of distances, too, no more stand at once
    for start, block in blocks(reference):
        for at in range(0, len(block), step):
            y = block[at : at + step] - center
            near = np.einsum("ij,ij->i", y, y) / 2 - x @ y.T  # the less, the nearer
            places = _least(near, k)
            score = np.concatenate([score, np.take_along_axis(near, places, 1)], axis=1)
            index = np.concatenate([index, places + start + at], axis=1)
            kept = _least(score, k)
            score = np.take_along_axis(score, kept, 1)
            index = np.take_along_axis(index, kept, 1)
    return index


def _least(score: Float64, k: int) -> NDArray[np.int64]:
    """The places of the k least of each row, the least first; of equal ones the first."""
    if k == 1:
        return score.argmin(axis=1)[:, None]
    places: NDArray[np.int64] = np.tile(np.arange(score.shape[1]), (len(score), 1))
    if k < score.shape[1]:
        places = np.sort(np.argpartition(score, k - 1, axis=1)[:, :k], axis=1)
    order = np.take_along_axis(score, places, 1).argsort(axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


def _distances(queries: Rows, reference: Rows, rows: NDArray[np.int64]) -> Float64:
    """The distance of each query to its row; 0 where they are equal, without rounding."""
    found = np.zeros(len(queries))
    for start, x in blocks(queries):
        difference = x - chosen(reference, rows[start : start + len(x)])
        found[start : start + len(x)] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


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


def novelty(draws: Rows, training: Rows, held_out: Rows) -> Novelty:
    """What the nearest training rows say of draws, and of real data that no model has seen.

    Args:
        draws: (n, d).
        training: (m, d), m at least 2.
        held_out: (k, d), real data that no model was fitted on.

    Raises:
        InputError: as for :func:`dcr_ratio`, or a single training row.
    """
    check_rows(draws, training)
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


def authenticity(draws: Rows, training: Rows) -> float:
    """AuthPct, as a share (Alaa et al. 2022, arXiv 2102.08921, section 4.3).

    Of draws, those that are farther from their nearest training row than that row is from its own
    nearest.

    Args:
        draws: (n, d).
        training: (m, d), m at least 2.

    Raises:
        InputError: as for :func:`nearest`, or a single training row.
    """
    check_rows(draws, training)
    _check_neighbours(training)
    rows, distance = nearest(draws, training)
    return float((distance > _own_distance(rows, training)).mean())


def _check_neighbours(training: Rows) -> None:
    if len(training) < 2:
        raise InputError(
            "1 training row was given, expected at least 2: their distances are what authentic "
            "draws are compared with"
        )


def _own_distance(rows: NDArray[np.int64], training: Rows) -> Float64:
    """The distance of each of these training rows (n,), which may repeat, to its own nearest."""
    needed, which = np.unique(rows, return_inverse=True)
    asked = training.some(needed) if isinstance(training, PixelRows) else training[needed]
    own = closest(asked, training, 2)[1][:, 1]  # the first is the row itself
    return own[which]


def dcr_ratio(draws: Rows, training: Rows, held_out: Rows) -> float:
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

"""Nearest neighbours: whose copy is a draw, and how far is it from being one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from hvrt_diffuser.errors import InputError

__all__ = ["attribution", "dcr_ratio", "nearest"]

Array = NDArray[np.floating]


def nearest(queries: Array, reference: Array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest reference row of each query, and its Euclidean distance; in bounded memory.

    Args:
        queries: (n, d).
        reference: (m, d).

    Returns:
        int64 (n,) and float64 (n,).

    Raises:
        InputError: dimensions that differ, an empty set, or NaN.
    """
    queries, reference = np.asarray(queries), np.asarray(reference)
    shapes = (queries.ndim, reference.ndim, queries.shape[-1:])
    if shapes != (2, 2, reference.shape[-1:]) or min(len(queries), len(reference)) == 0:
        raise InputError(
            f"samples of shapes {queries.shape} and {reference.shape} were given, expected (n, d) "
            "and (m, d): take both from one source"
        )
    if not (np.isfinite(queries).all() and np.isfinite(reference).all()):
        raise InputError(
            "the samples hold NaN or infinite values, expected numbers: look at what made them"
        )
    # Squared distances come from a matrix product, whose rounding is that of large norms: about
    # the mean, and in float64, it is far below the distances between latents.
    center = reference.mean(axis=0, dtype=np.float64)
    index, distance = pairwise_distances_argmin_min(queries - center, reference - center)
    return index, distance


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
    usual = float(np.median(nearest(held_out, training)[1]))
    if usual == 0:
        raise InputError(
            "most held-out rows stand among the training rows, expected fresh data: give data that "
            "the model was not fitted on"
        )
    return float(np.median(nearest(draws, training)[1])) / usual

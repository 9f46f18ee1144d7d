"""How much likelier draws make the training images than fresh ones."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.rows import check_rows
from hvrt_diffuser.metrics.samples import Array, Float64, choose

__all__ = ["likelihood_gap"]

MOST = 2000  # rows of each set: a matrix of this square is in memory
ROUNDS = 30  # of expectation and maximisation, after which nothing moves
LEAST_VARIANCE = 0.01  # in units of the features' own, or an exact copy would be infinitely likely
HUNDRED = 100  # the unit of the paper


def likelihood_gap(training: Array, fresh: Array, draws: Array, *, seed: int) -> float:
    """The generalisation gap of the feature likelihood divergence, about 0 for fresh draws.

    Around each draw lies a Gaussian, as wide as makes one half of the training rows likeliest. Near
    copies, the other half is then likelier than fresh rows are, and the gap below 0.
    (Jiralerspong et al. 2023, arXiv 2302.04440, section 3. There widths are fitted to all training
    rows, by gradients: with few rows the gap of fresh draws is then far from 0.)

    Args:
        training: (m, f), what the draws were made from.
        fresh: (k, f), of the same source and unseen.
        draws: (n, f). Of all three, 2,000 rows at random are compared.
        seed: of which.

    Returns:
        100 times the mean log-likelihood of fresh rows less that of training rows, in nats a
        feature.

    Raises:
        InputError: dimensions that differ, an empty set, NaN, or training rows that are all alike.
    """
    source = np.random.default_rng(seed)
    for other in (fresh, draws):
        check_rows(training, other)
    sets = [
        choose(np.asarray(rows), MOST, source).astype(np.float64)
        for rows in (training, fresh, draws)
    ]
    spread = math.sqrt(sets[0].var(axis=0).mean())
    if not spread:
        raise InputError(
            "the training images are all alike, expected some that differ: give other images"
        )
    # One scale for all: a pixel that few images light would else be many deviations wide.
    seen, unseen, centres = (rows / spread for rows in sets)
    f = seen.shape[1]
    squares, others = _squares(seen, centres), _squares(unseen, centres)
    half = len(seen) // 2
    gaps = []
    for fitted, held_out in (
        (squares[:half], squares[half:]),
        (squares[half:], squares[:half]),
    ):
        variances = _widths(fitted, f)
        likely = [_densities(each, variances, f) for each in (held_out, others)]
        told, new = (float(logsumexp(each, axis=1).mean()) for each in likely)
        gaps.append(new - told)
    return HUNDRED * float(np.mean(gaps)) / f


def _widths(squares: Float64, f: int) -> Float64:
    """Variances (m,) that make rows (n, m), by their squared distances, likeliest."""
    variances = np.full(squares.shape[1], squares.min(axis=1).mean() / f)
    variances = np.maximum(variances, LEAST_VARIANCE)
    for _ in range(ROUNDS):
        logs = _densities(squares, variances, f)
        shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        taken = shares.sum(axis=0)
        fitted = (shares * squares).sum(axis=0) / (f * np.maximum(taken, 1e-300))
        # A draw that is nearest to nothing keeps its width.
        variances = np.where(taken > 1e-6, np.maximum(fitted, LEAST_VARIANCE), variances)
    return variances


def _squares(rows: Float64, centres: Float64) -> Float64:
    """Squared distances (n, m)."""
    sums = (rows**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * rows @ centres.T
    return np.maximum(sums, 0.0)


def _densities(squares: Float64, variances: Float64, f: int) -> Float64:
    """Log-densities (n, m) of equally weighted Gaussians, less a constant."""
    return -0.5 * (squares / variances + f * np.log(variances)) - math.log(len(variances))

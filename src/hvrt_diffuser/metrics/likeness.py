"""Likeness that does not depend on the number of images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, check_samples, choose

__all__ = ["Excess", "excess_frechet", "fewest_for_excess", "kernel_test"]

ROWS_PER_FEATURE = 3  # of each set, for an excess
GROUPS = 10  # of rows, each left out once
HALVINGS = 10
NO_SPREAD = 1e-20  # of test rows
MANY_FEATURES = 1024  # in which roots are slow, and two halvings must do
FEWEST = 2  # rows of a kernel test
MOST = 1000  # the same, of each sample
PERMUTATIONS = 500


class Excess(NamedTuple):
    """An excess of Fréchet distance, and its interval of 95 %."""

    e: float
    low: float
    high: float


class _Moments(NamedTuple):
    """Sums that add up over disjoint groups of rows: n, their sum (d,), and of x x' (d, d)."""

    n: int
    first: Float64
    second: Float64

    def less(self, other: _Moments) -> _Moments:
        first, second = self.first - other.first, self.second - other.second
        return _Moments(self.n - other.n, first, second)

    @property
    def mean(self) -> Float64:
        mean: Float64 = self.first / self.n
        return mean

    @property
    def covariance(self) -> Float64:
        return (self.second - np.outer(self.first, self.mean)) / (self.n - 1)


def fewest_for_excess(d: int) -> int:
    """How many rows of ``d`` features S and each half of the test rows must have."""
    return max(ROWS_PER_FEATURE * d, 2 * GROUPS)


def excess_frechet(synthetic: Array, test: Array, *, seed: int) -> Excess:
    """How much farther synthetic rows are from real ones than other real ones are.

    E = (FD(S, B) - FD(A, B)) / tr cov(B), over ten halvings of the test rows into A and B, with
    random subsets so that |S| = |A|. It is 0 of fresh real rows, of any number. FD is the squared
    Fréchet distance (Heusel et al. 2017, arXiv 1706.08500, eq. 6) without the first term of its
    bias: a covariance that is estimated from n rows lowers the trace of the root by
    sum_ij (1 + [i = j]) s_i s_j / (s_i + s_j) / 4n, where s are the eigenvalues of that root. Most
    of the bias is the same for S and A; what is left would make E depend on n after all.

    The interval is a jackknife that leaves out a tenth of S and of the test rows at a time
    (student's t, 9 degrees of freedom), so that it holds the noise of S, A and B.

    Args:
        synthetic: (n, d).
        test: (m, d), real rows that no synthetic one was made from.
        seed: of the halvings.

    Raises:
        InputError: fewer rows than three times the features in S or in half of ``test``, features
            that are all constant in ``test``, or that differ in number, or NaN.
    """
    synthetic, test = check_samples(synthetic, test)
    d = synthetic.shape[1]
    fewest = fewest_for_excess(d)
    if min(len(synthetic), len(test) // 2) < fewest:
        raise InputError(
            f"{len(synthetic):,} synthetic and {len(test):,} test rows were given for an excess in "
            f"{d} features, expected at least {fewest:,} and {2 * fewest:,}: give more images"
        )
    center, scale = test.mean(axis=0), np.ptp(test, axis=0).max()
    if scale < NO_SPREAD:
        raise InputError(
            "all test rows are equal, expected rows that vary: look at the images and the "
            "extractor that gave them"
        )
    # The same units for both keep the rounding of large means out of the sums.
    synthetic, test = ((x - center) / scale for x in (synthetic, test))
    source = np.random.default_rng(seed)
    groups = [np.array_split(source.permutation(len(x)), GROUPS) for x in (synthetic, test)]
    halvings = HALVINGS if d <= MANY_FEATURES else 2
    found = np.zeros(1 + GROUPS)  # of all rows, and with each group left out
    for _ in range(halvings):
        parts: list[list[_Moments]] = [[], [], []]  # of S, A and B, by group
        for group in zip(*groups, strict=True):
            ours, theirs = (source.permutation(rows) for rows in group)
            half = len(theirs) // 2
            k = min(len(ours), half)
            for part, x in zip(
                parts, (synthetic[ours[:k]], test[theirs[:k]], test[theirs[half:]]), strict=True
            ):
                part.append(_Moments(len(x), x.sum(axis=0), x.T @ x))
        whole = [_Moments(*(sum(column) for column in zip(*p, strict=True))) for p in parts]
        found[0] += _excess(*whole)
        for left_out in range(GROUPS):
            rest = (all_.less(p[left_out]) for all_, p in zip(whole, parts, strict=True))
            found[1 + left_out] += _excess(*rest)
    e, *others = found / halvings
    deviation = np.sqrt((GROUPS - 1) * np.var(others))
    reach = float(student.ppf(0.975, GROUPS - 1) * deviation)
    return Excess(float(e), float(e) - reach, float(e) + reach)


def _excess(s: _Moments, a: _Moments, b: _Moments) -> float:
    covariance = b.covariance
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T

    def distance(x: _Moments) -> float:
        """Without what is the same for S and A."""
        own = x.covariance
        shift, spread = x.mean - b.mean, np.trace(own)
        roots = np.sqrt(np.linalg.eigvalsh(root @ own @ root).clip(min=0))  # (d,)
        pairs = np.add.outer(roots, roots)
        pairs = np.divide(np.outer(roots, roots), pairs, out=np.zeros_like(pairs), where=pairs > 0)
        lost = (pairs.sum() + pairs.trace()) / 4 * (1 / x.n + 1 / b.n)
        return float(shift @ shift - spread / x.n + spread - 2 * (roots.sum() + lost))

    return (distance(s) - distance(a)) / float(np.trace(covariance))


def kernel_test(a: Array, b: Array, *, seed: int) -> tuple[float, float]:
    """The kernel distance (KID) of two samples, and how often chance alone makes it as large.

    The squared discrepancy under (x . y / d + 1)^3, without bias, of at most 1,000 rows of each
    (Binkowski et al. 2018, arXiv 1801.01401, section 4), and the share of 500 divisions of the
    same rows at random that reach it, itself counted: the p value of a permutation test (Gretton
    et al. 2012, "A Kernel Two-Sample Test", section 8).

    Args:
        a: (n, d), n at least 2.
        b: (m, d), m at least 2.
        seed: of the rows and the permutations.

    Returns:
        The distance, and p.

    Raises:
        InputError: features that differ in number, fewer than two rows, or NaN.
    """
    a, b = check_samples(a, b)
    if min(len(a), len(b)) < FEWEST:
        raise InputError(
            f"samples of {len(a)} and {len(b)} rows were given, expected at least {FEWEST} each: "
            "give more images"
        )
    source = np.random.default_rng(seed)
    a, b = (choose(x, MOST, source) for x in (a, b))
    n, m = len(a), len(b)
    x = np.concatenate([a, b])
    kernel = x @ x.T / x.shape[1] + 1
    kernel = kernel * kernel * kernel
    np.fill_diagonal(kernel, 0)
    first = np.zeros((n + m, 1 + PERMUTATIONS))  # which rows count as those of the first sample
    first[:n, 0] = 1
    for column in range(1, 1 + PERMUTATIONS):
        first[source.permutation(n + m)[:n], column] = 1
    sums = kernel @ first  # (n + m, 1 + permutations)
    within: NDArray[np.float64] = (first * sums).sum(axis=0)
    across = sums.sum(axis=0) - within
    others = kernel.sum() - within - 2 * across
    found = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m)
    # Rounding must not tell equal divisions apart.
    reached = (found >= found[0] - 1e-12 * np.abs(kernel).max()).mean()
    return float(found[0]), float(reached)

"""Intervals cover what they say, and no more than the pairing of two rows leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, t

from hvrt_diffuser.judge.intervals import Interval, bootstrap, bootstrap_gain, gain_p, holm

M = 400
LABELS = np.arange(M) % 4
Rows = list[NDArray[np.bool_]]


def seen(
    source: np.random.Generator, hardness: NDArray[np.float64], spread: float, repetitions: int = 5
) -> Rows:
    """What classifiers of one row recognise: images differ, and so do classifiers."""
    return [
        2 + hardness + spread * source.normal() + source.normal(size=M) > 0
        for _ in range(repetitions)
    ]


@pytest.mark.parametrize("balanced", [False, True])
def test_identical_predictions_gain_nothing_for_sure(balanced: bool) -> None:
    rows = seen(np.random.default_rng(0), np.zeros(M), 0.1)
    assert bootstrap_gain(rows, rows, LABELS, seed=0, balanced=balanced) == Interval(0, 0, 0)
    assert gain_p(rows, rows, LABELS, seed=0, balanced=balanced) == 1


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_intervals_cover_the_truth(spread: float) -> None:
    """Whether images or repetitions vary more; of rows of one law the truth is no gain."""
    source = np.random.default_rng(0)
    truth = 100 * norm.cdf(2 / np.sqrt(2 + spread**2))
    gains = accuracies = significant = 0
    for seed in range(100):
        hardness = source.normal(size=M)
        one, other = seen(source, hardness, spread), seen(source, hardness, spread)
        gain = bootstrap_gain(one, other, LABELS, seed=seed)
        accuracy = bootstrap(one, LABELS, seed=seed)
        gains += gain.low <= 0 <= gain.high
        accuracies += accuracy.low <= truth <= accuracy.high
        significant += gain_p(one, other, LABELS, seed=seed) < 0.05
    assert gains >= 90
    assert accuracies >= 88
    assert significant <= 10


def test_a_gain_is_found() -> None:
    source = np.random.default_rng(0)
    hardness = source.normal(size=M)
    worse, better = seen(source, hardness - 1, 0.05), seen(source, hardness, 0.05)
    gain = bootstrap_gain(better, worse, LABELS, seed=0)
    assert 0 < gain.low < gain.mean < gain.high
    assert gain_p(better, worse, LABELS, seed=0) < 0.01
    back = bootstrap_gain(worse, better, LABELS, seed=0)
    assert back == pytest.approx((-gain.mean, -gain.high, -gain.low), abs=1)


def test_one_classifier_has_the_interval_of_a_stratified_share() -> None:
    right = np.random.default_rng(0).random(M) < np.where(LABELS < 2, 0.95, 0.6)
    found = bootstrap([right], LABELS, seed=0)
    shares = np.array([right[c == LABELS].mean() for c in range(4)])
    half = 1.96 * 100 * np.sqrt((shares * (1 - shares)).mean() / M)
    assert found.mean == pytest.approx(100 * right.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_classifiers_that_differ_on_every_image_have_the_interval_of_their_mean() -> None:
    shares = np.linspace(0.3, 0.7, 8)
    found = bootstrap([np.full(M, share) for share in shares], LABELS, seed=0)
    half = t.ppf(0.975, 7) * 100 * shares.std(ddof=1) / np.sqrt(8)
    assert found.mean == pytest.approx(50)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_balanced_is_the_mean_over_classes() -> None:
    labels = np.repeat([0, 3], [90, 10])
    found = bootstrap([labels == 0], labels, seed=0, balanced=True)
    assert found == Interval(50, 50, 50)
    assert bootstrap([labels == 0], labels, seed=0).mean == pytest.approx(90)


def test_nearly_perfect_against_perfect_is_told_with_its_doubt() -> None:
    perfect = [np.ones(1000, bool)] * 5
    nearly = [np.arange(1000) != place for place in range(5)]
    gain = bootstrap_gain(nearly, perfect, np.arange(1000) % 10, seed=0)
    assert gain.mean == pytest.approx(-0.1)
    assert -0.5 < gain.low < -0.1 < gain.high < 0.2
    assert bootstrap(perfect, np.arange(1000) % 10, seed=0) == pytest.approx((100, 100, 100))


def test_pairs_leave_less_open_than_two_intervals() -> None:
    source = np.random.default_rng(0)
    hardness = 3 * source.normal(size=M)
    one, other = seen(source, hardness, 0.0), seen(source, hardness, 0.0)
    gain, alone = bootstrap_gain(one, other, LABELS, seed=0), bootstrap(one, LABELS, seed=0)
    assert gain.high - gain.low < alone.high - alone.low


def test_other_shapes_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="pairs"):
        bootstrap_gain([LABELS > 0] * 2, [LABELS > 0], LABELS, seed=0)


@given(st.integers(0, 5), st.integers(1, 4), st.booleans())
def test_intervals_hold_their_mean_and_come_again(
    seed: int, repetitions: int, balanced: bool
) -> None:
    rows = seen(np.random.default_rng(seed), np.zeros(M), 0.3, repetitions)
    found = bootstrap(rows, LABELS, seed=seed, balanced=balanced)
    assert 0 <= found.low <= found.mean <= found.high <= 100
    assert found == bootstrap(rows, LABELS, seed=seed, balanced=balanced)


def test_holm_of_known_values() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1, "b": 1}
    assert holm({}) == {}

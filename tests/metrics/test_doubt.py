"""Confident learning: known counts, an independent reference, and noise that was planted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.doubt import doubted_labels


def mixture(
    n: int, k: int, noise: float, seed: int, spread: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """True class probabilities of a mixture on a circle, its classes, and labels, some flipped."""
    source = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(k) / k
    centres = 3 * np.stack([np.cos(angles), np.sin(angles)], 1)
    true = source.integers(0, k, n)
    x = centres[true] + spread * source.standard_normal((n, 2))
    logits = -((x[:, None] - centres) ** 2).sum(2) / 2 / spread**2
    p = np.exp(logits - logits.max(1, keepdims=True))
    labels = true.copy()
    rows = source.random(n) < noise
    labels[rows] = (true[rows] + source.integers(1, k, rows.sum())) % k
    return p / p.sum(1, keepdims=True), true, labels


def reference(p: NDArray[np.float64], labels: NDArray[np.int64]) -> set[int]:
    """The definition, a row and a class at a time."""
    n, k = p.shape
    means = [np.mean([p[i, j] for i in range(n) if labels[i] == j]) for j in range(k)]
    joint = np.zeros((k, k))
    for i in range(n):
        above = [j for j in range(k) if p[i, j] >= means[j]]
        if above:
            joint[labels[i], max(above, key=lambda j: p[i, j])] += 1
    found: set[int] = set()
    for label in range(k):
        rows = sorted((i for i in range(n) if labels[i] == label), key=lambda i: p[i, label])
        wrong = joint[label].sum() - joint[label, label]
        found |= set(rows[: round(wrong / joint[label].sum() * len(rows))])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_definition(seed: int) -> None:
    p, _, labels = mixture(400, 4, 0.1, seed)
    doubts = doubted_labels(p, labels)
    assert set(doubts.rows.tolist()) == reference(p, labels)
    own = p[doubts.rows, labels[doubts.rows]]
    assert (np.diff(own) >= 0).all()
    for row, likelier, probability in zip(*doubts, strict=True):
        others = np.delete(p[row], labels[row])
        assert likelier != labels[row]
        assert probability == p[row, likelier] == others.max()


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_planted_noise_is_found_and_its_true_class(noise: float) -> None:
    p, true, labels = mixture(4000, 5, noise, 0, spread=0.8)
    doubts = doubted_labels(p, labels)
    wrong = np.flatnonzero(true != labels)
    hits = np.isin(doubts.rows, wrong)
    assert hits.sum() / len(wrong) > 0.9
    assert hits.mean() > 0.85
    assert (doubts.likelier == true[doubts.rows])[hits].mean() > 0.95


def test_certain_probabilities_that_agree_are_not_doubted() -> None:
    labels = np.arange(30) % 3
    doubts = doubted_labels(np.eye(3)[labels], labels)
    assert len(doubts.rows) == len(doubts.likelier) == len(doubts.probability) == 0


def test_one_flipped_label_among_certain_ones() -> None:
    labels = np.arange(30) % 3
    p = np.eye(3)[labels]
    labels[4] = 2
    doubts = doubted_labels(p, labels)
    assert [part.tolist() for part in doubts] == [[4], [1], [1.0]]


def test_a_class_without_rows_and_one_of_which_none_is_confident() -> None:
    p = np.array([[0.9, 0.05, 0.05], [0.8, 0.15, 0.05], [0.95, 0.05, 0.0]])
    for labels in ([0, 0, 0], [0, 0, 1], [1, 1, 1]):
        doubts = doubted_labels(p, labels)
        assert np.isfinite(doubts.probability).all()


@pytest.mark.parametrize(
    ("p", "labels"),
    [
        (np.full((4, 2), 0.5), [0, 1, 0]),
        (np.full((4, 2), 0.5), [0, 1, 0, 2]),
        (np.full((4, 2), 0.5), [0, 1, 0, -1]),
        (np.ones((4, 1)), [0, 0, 0, 0]),
        (np.full((4, 2), np.nan), [0, 1, 0, 1]),
        (np.empty((0, 2)), []),
    ],
)
def test_what_does_not_fit_together_is_refused(p: NDArray[np.float64], labels: list[int]) -> None:
    with pytest.raises(InputError, match="expected"):
        doubted_labels(p, labels)

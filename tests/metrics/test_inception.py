"""The inception score: its ends, a reference, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import inception_score

Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.mark.parametrize("k", [2, 10])
def test_no_opinion_scores_one(k: int) -> None:
    assert inception_score(np.full((20, k), 1 / k)) == pytest.approx(1)


@pytest.mark.parametrize("k", [2, 10])
def test_certainty_in_even_classes_scores_their_number(k: int) -> None:
    assert inception_score(np.eye(k).repeat(7, 0)) == pytest.approx(k)


def test_certainty_in_one_class_scores_one() -> None:
    assert inception_score(np.eye(10)[[3] * 50]) == pytest.approx(1)


def test_certainty_in_uneven_classes_scores_the_exponential_of_their_entropy() -> None:
    share = np.array([0.5, 0.25, 0.25])
    assert inception_score(np.eye(3)[[0, 0, 1, 2]]) == pytest.approx(np.exp(entropy(share)))


@settings(deadline=None)
@given(arrays(np.float64, (12, 4), elements=st.floats(1e-6, 1)))
def test_it_is_the_mean_divergence_from_the_marginal(weights: Array) -> None:
    p = weights / weights.sum(1, keepdims=True)
    divergence = [entropy(row, p.mean(0)) for row in p]
    found = inception_score(p)
    assert found == pytest.approx(np.exp(np.mean(divergence)))
    assert 1 - 1e-9 <= found <= 4 + 1e-9


def test_neither_the_order_of_images_nor_of_classes_matters() -> None:
    p = np.random.RandomState(0).dirichlet(np.ones(5), 30)
    assert inception_score(p[::-1, [3, 1, 0, 4, 2]]) == pytest.approx(inception_score(p))


def test_float32_probabilities_are_accepted() -> None:
    p = np.random.RandomState(0).dirichlet(np.ones(10), 30)
    assert inception_score(p.astype(np.float32)) == pytest.approx(inception_score(p), rel=1e-5)


@pytest.mark.parametrize(
    "p",
    [
        [[0.5, 0.4]],
        [[0.5, 0.5], [3.0, 4.0]],
        [[1.5, -0.5]],
        [[np.nan, 1.0]],
        [[np.inf, 0.0]],
        [0.5, 0.5],
        np.empty((0, 3)),
    ],
    ids=["below 1", "logits", "negative", "nan", "inf", "one row", "empty"],
)
def test_what_is_no_distribution_is_refused(p: Any) -> None:
    with pytest.raises(InputError, match="softmax"):
        inception_score(np.asarray(p))

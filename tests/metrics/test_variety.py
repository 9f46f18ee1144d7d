"""The Vendi score: its ends, the full kernel matrix, and real digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy, ortho_group

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import vendi_score

Array = np.ndarray[Any, np.dtype[np.float64]]


def normal(n: int, d: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


def through_the_kernel_matrix(x: Array) -> float:
    """Friedman & Dieng 2023, definition 3.1."""
    n = len(x)
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            kernel[i, j] = x[i] @ x[j] / (np.linalg.norm(x[i]) * np.linalg.norm(x[j]))
    return float(np.exp(entropy(np.linalg.eigvalsh(kernel / n).clip(min=0))))


# No row of zeros, and rows that are often equal or opposite.
ROWS = st.integers(1, 8).flatmap(
    lambda n: arrays(np.float64, (n, 3), elements=st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0]))
)


@settings(deadline=None)
@given(ROWS)
def test_it_is_the_entropy_of_the_kernel_matrix(x: Array) -> None:
    found = vendi_score(x)
    assert found == pytest.approx(through_the_kernel_matrix(x), rel=1e-9)
    assert 1 - 1e-9 <= found <= min(x.shape) + 1e-9


@pytest.mark.parametrize(("n", "d"), [(40, 5), (40, 40), (5, 40), (1, 7)])
def test_there_may_be_more_rows_or_more_dimensions(n: int, d: int) -> None:
    x = normal(n, d, 0)
    assert vendi_score(x) == pytest.approx(through_the_kernel_matrix(x), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 10])
def test_orthogonal_groups_count_as_many_rows(k: int) -> None:
    rows = ortho_group.rvs(10, random_state=0)[:k]
    assert vendi_score(rows.repeat(7, axis=0)) == pytest.approx(k)


def test_uneven_groups_count_as_the_exponential_of_their_entropy() -> None:
    x = np.eye(3)[[0, 0, 1, 2]]
    assert vendi_score(x) == pytest.approx(np.exp(entropy([0.5, 0.25, 0.25])))


@pytest.mark.parametrize("d", [1, 64])
def test_identical_rows_count_as_one(d: int) -> None:
    assert vendi_score(np.tile(normal(1, d, 0), (500, 1))) == pytest.approx(1)


def test_repeating_every_row_adds_no_variety() -> None:
    x = normal(30, 6, 0)
    assert vendi_score(np.vstack([x, x, x])) == pytest.approx(vendi_score(x))


def test_only_directions_count() -> None:
    x = normal(30, 6, 0)
    lengths = np.random.default_rng(1).uniform(0.1, 10, (30, 1))
    rotation = ortho_group.rvs(6, random_state=0)
    assert vendi_score(lengths * x @ rotation) == pytest.approx(vendi_score(x))


def test_digits_of_all_classes_vary_more_than_those_of_one(digits: LabelledImages) -> None:
    x = digits.images.flatten(1).double().numpy() / 255
    of_one_class = x[digits.labels.numpy() == 3][:300]
    assert vendi_score(x[:300]) > 1.5 * vendi_score(of_one_class)
    assert vendi_score(of_one_class[:10].repeat(30, axis=0)) < vendi_score(of_one_class)


def test_rows_of_zeros_are_alike_and_like_no_other() -> None:
    zeros = np.zeros((7, 3))
    assert vendi_score(zeros) == pytest.approx(1)
    assert vendi_score(np.concatenate([np.eye(3).repeat(7, axis=0), zeros])) == pytest.approx(4)

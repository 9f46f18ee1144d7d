"""Random words, and the numbers that are made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, norm
from torch import Tensor

from hvrt_diffuser.samplers.randomness import (
    choose_below,
    epanechnikov,
    normal,
    random_words,
    symmetric_uniform,
)

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
LAST = 1 - 2**-24  # the greatest value that symmetric_uniform gives


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*halves: int) -> Tensor:
    """What symmetric_uniform makes of 32 random bits each."""
    bits = torch.tensor([*halves, 0][: len(halves) + len(halves) % 2], dtype=torch.int32)
    return symmetric_uniform(bits.view(torch.int64)[None], len(halves))[0]


# ---- words


def test_every_bit_of_a_word_is_set_half_of_the_time() -> None:
    words = random_words(10_000, 2, source(), "cpu")
    assert words.dtype == torch.int64
    assert words.shape == (10_000, 2)
    bits = (words.flatten()[:, None] >> torch.arange(64)) & 1
    share = bits.double().mean(0)
    assert (share - 0.5).abs().max() < 4.5 * 0.5 / np.sqrt(20_000)


def test_neighbouring_bits_of_a_word_are_independent() -> None:
    words = random_words(20_000, 1, source(), "cpu")[:, 0]
    bits = ((words[:, None] >> torch.arange(64)) & 1).double()
    assert torch.corrcoef(bits.T).fill_diagonal_(0).abs().max() < 5 / np.sqrt(20_000)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7))
def test_words_come_row_after_row(sizes: list[int], width: int) -> None:
    stream = source()
    pieces = [random_words(size, width, stream, "cpu") for size in sizes]
    assert torch.equal(torch.cat(pieces), random_words(sum(sizes), width, source(), "cpu"))


# ---- integers


@given(word=INT64, bound=st.integers(1, 2**31 - 1))
def test_an_integer_is_the_low_half_of_its_word_as_a_share_of_the_bound(
    word: int, bound: int
) -> None:
    (found,) = choose_below(torch.tensor([word]), bound).tolist()
    assert found == (word % 2**32) * bound // 2**32
    assert 0 <= found < bound


@given(st.lists(st.tuples(INT64, st.integers(1, 2**31 - 1)), min_size=1, max_size=5))
def test_each_integer_may_have_a_bound_of_its_own(pairs: list[tuple[int, int]]) -> None:
    bits, bounds = torch.tensor(pairs).T
    one_by_one = [int(choose_below(w, int(b))) for w, b in zip(bits, bounds, strict=True)]
    assert choose_below(bits, bounds).tolist() == one_by_one


@pytest.mark.parametrize("half", ["low", "high"])
@pytest.mark.parametrize("bound", [2, 3, 7, 1000])
def test_integers_are_even(bound: int, half: str) -> None:
    words = random_words(100_000, 1, source(), "cpu")[:, 0]
    found = choose_below(words if half == "low" else words >> 32, bound)
    assert chisquare(torch.bincount(found, minlength=bound).numpy()).pvalue > 0.001


def test_integers_of_the_two_halves_of_a_word_are_independent() -> None:
    words = random_words(100_000, 1, source(), "cpu")[:, 0]
    pair = 7 * choose_below(words, 5) + choose_below(words >> 32, 7)
    assert chisquare(torch.bincount(pair, minlength=35).numpy()).pvalue > 0.001


@pytest.mark.parametrize("bound", [2**24 + 1, 2**25, 3 * 10**8])
def test_integers_beyond_the_precision_of_float32_are_even(bound: int) -> None:
    found = choose_below(random_words(50_000, 1, source(), "cpu")[:, 0], bound)
    # What a float between 0 and 1 could not reach: odd ones, and all remainders alike.
    assert chisquare(torch.bincount(found % 16, minlength=16).numpy()).pvalue > 0.001
    assert kstest(found.double().numpy() / bound, "uniform").pvalue > 0.001


# ---- uniform on (-1, 1)


@given(INT32)
def test_uniform_follows_its_bits_and_is_never_an_end(half: int) -> None:
    (v,) = uniform(half).tolist()
    assert -1 < v < 1
    assert v == pytest.approx(half * 2**-31, rel=2**-22, abs=0)


@given(st.integers(0, 2**31 - 1))
def test_uniform_is_exactly_symmetric(half: int) -> None:
    a, b = uniform(half, -half).tolist()
    assert a == -b


@pytest.mark.parametrize(
    ("half", "expected"),
    [(-(2**31), -LAST), (2**31 - 1, LAST), (0, 0.0), (1, 2**-31 * LAST), (2**30, LAST / 2)],
)
def test_uniform_has_known_values(half: int, expected: float) -> None:
    assert uniform(half).item() == expected


@pytest.mark.parametrize("d", [1, 4, 5])
def test_uniform_is_uniform_in_every_dimension(d: int) -> None:
    v = symmetric_uniform(random_words(50_000, (d + 1) // 2, source(), "cpu"), d)
    assert v.shape == (50_000, d)
    assert v.dtype == torch.float32
    p = [kstest(column.double().numpy(), "uniform", args=(-1, 2)).pvalue for column in v.T]
    assert min(p) > 0.001 / d


def test_dimensions_of_the_uniform_are_independent() -> None:
    v = symmetric_uniform(random_words(50_000, 3, source(), "cpu"), 6).double()
    for values in (v, v.square()):
        assert torch.corrcoef(values.T).fill_diagonal_(0).abs().max() < 4 / np.sqrt(len(v))


# ---- kernels


@settings(deadline=None)
@given(st.floats(-1, 1))
def test_epanechnikov_inverts_its_distribution_function(v: float) -> None:
    x = float(epanechnikov(torch.tensor(v, dtype=torch.float64)))
    assert -1 <= x <= 1
    assert (2 + 3 * x - x**3) / 4 == pytest.approx((1 + v) / 2, abs=1e-12)


@settings(deadline=None)
@given(st.floats(-LAST, LAST))
def test_normal_inverts_its_distribution_function(v: float) -> None:
    x = float(normal(torch.tensor(v, dtype=torch.float64)))
    # The smaller tail, where a small probability keeps its digits.
    assert norm.cdf(-abs(x)) == pytest.approx((1 - abs(v)) / 2, rel=1e-8)
    assert x * v >= 0


@pytest.mark.parametrize("kernel", [epanechnikov, normal])
@settings(deadline=None)
@given(st.tuples(INT32, INT32).map(sorted))
def test_kernels_are_finite_and_rise_for_every_number_they_get(
    kernel: Callable[[Tensor], Tensor], halves: list[int]
) -> None:
    low, high = kernel(uniform(*halves))
    assert torch.isfinite(low)
    assert torch.isfinite(high)
    assert low <= high + 1e-6
    if kernel is epanechnikov:
        assert max(-low, high) <= 1 + 1e-6


@pytest.mark.parametrize("kernel", [epanechnikov, normal])
def test_kernels_work_in_place(kernel: Callable[[Tensor], Tensor]) -> None:
    v = uniform(1, 2**30)
    assert kernel(v) is v
    assert (v != uniform(1, 2**30)).any()


def test_epanechnikov_has_its_moments_and_its_shape() -> None:
    n = 200_000
    x = epanechnikov(symmetric_uniform(random_words(n, 1, source(), "cpu"), 1)[:, 0])
    x = x.double().numpy()
    # Moments of 3/4 (1 - x^2): 0, 1/5, 0 and 3/35.
    assert abs(x.mean()) < 4 * np.sqrt(0.2 / n)
    assert abs((x**2).mean() - 1 / 5) < 4 * np.sqrt((3 / 35 - 1 / 25) / n)
    assert abs((x**3).mean()) < 4 * np.sqrt(1 / 21 / n)
    assert kstest(x, lambda t: (2 + 3 * t - t**3) / 4).pvalue > 0.001


def test_normal_is_normal() -> None:
    x = normal(symmetric_uniform(random_words(200_000, 1, source(), "cpu"), 1)[:, 0])
    assert kstest(x.double().numpy(), "norm").pvalue > 0.001


def test_normal_is_symmetric_at_its_ends() -> None:
    low, high = normal(uniform(-(2**31), 2**31 - 1))
    assert low == -high
    assert 5 < high < 5.5

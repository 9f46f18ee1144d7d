"""How two samples of one number stand to each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from hvrt_diffuser.metrics.ranks import (
    Share,
    mann_whitney_z,
    share_above,
    share_below_quantile,
)


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_share_above_is_the_area_under_the_curve(levels: int) -> None:
    source = np.random.default_rng(levels)
    a, b = source.integers(levels, size=300) * 1.3, source.integers(levels, size=200) * 1.0
    truth = np.repeat([1, 0], [300, 200])
    expected = roc_auc_score(truth, np.concatenate([a, b]))
    assert share_above(a, b).value == pytest.approx(expected)


def test_its_interval_is_about_that_of_a_bootstrap() -> None:
    source = np.random.default_rng(0)
    a, b = source.standard_normal(400) + 0.5, source.standard_normal(300)
    values = [share_above(source.choice(a, 400), source.choice(b, 300)).value for _ in range(1000)]
    low, high = np.quantile(values, [0.025, 0.975])
    found = share_above(a, b)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_samples_that_keep_apart_have_an_interval_still() -> None:
    far = share_above(np.arange(20.0) + 100, np.arange(50.0))
    assert far.value == far.high == 1
    assert 0.9 < far.low < 1
    assert share_above(np.ones(20), np.ones(20)).value == 0.5


@pytest.mark.parametrize(("n", "m", "move"), [(2000, 2000, 0), (1000, 150, 0), (1000, 500, 1.0)])
def test_both_intervals_hold_the_truth(n: int, m: int, move: float) -> None:
    """In 95 of 100 samples; of 400, fewer than 91% are seen once in a thousand times."""
    source = np.random.default_rng(n + m)
    truth = norm.cdf(-move / np.sqrt(2)), norm.cdf(norm.ppf(0.01) + move)
    held = np.zeros(2)
    for _ in range(400):
        a, b = source.standard_normal(n) - move, source.standard_normal(m)
        found = share_above(a, b), share_below_quantile(a, b)
        held += [x.low <= t <= x.high for x, t in zip(found, truth, strict=True)]
    assert (held / 400 > 0.91).all(), held


@pytest.mark.parametrize("zeros", [0, 100, 500])
def test_of_values_that_tie_at_the_quantile_their_share_counts(zeros: int) -> None:
    b = np.concatenate([np.zeros(zeros), np.arange(1, 10_001 - zeros)])
    assert share_below_quantile(b, b).value == pytest.approx(0.01)
    copies = np.concatenate([np.zeros(2000), np.full(8000, 1e6)])
    expected = 0.2 if zeros <= 100 else 0.2 * 100 / zeros
    assert share_below_quantile(copies, b).value == pytest.approx(expected)


def test_none_and_all_below_have_intervals() -> None:
    b = np.arange(1000.0)
    none, everything = share_below_quantile(b + 5000, b), share_below_quantile(b - 5000, b)
    assert none[:2] == (0, 0)
    assert none.high == pytest.approx(0.0037, abs=1e-4)  # 1 - .025 ** (1 / 1000)
    assert everything == Share(1, pytest.approx(0.9963, abs=1e-4), 1)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_z_is_that_of_scipy_and_normal(levels: int) -> None:
    source = np.random.default_rng(levels)
    found = []
    for _ in range(300):
        a, b = (source.integers(levels, size=n).astype(float) for n in (60, 40))
        found.append(mann_whitney_z(a, b))
    p = mannwhitneyu(a, b, method="asymptotic", use_continuity=False).pvalue
    assert 2 * norm.sf(abs(found[-1])) == pytest.approx(p)
    assert kstest(found, "norm").statistic < 0.12
    assert mann_whitney_z(a - 9e9, b) < -5
    assert mann_whitney_z(np.ones(5), np.ones(5)) == 0

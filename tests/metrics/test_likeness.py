"""The excess Fréchet distance does not depend on n; a kernel test is right as often as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ortho_group

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import excess_frechet, frechet_distance, kernel_distance, kernel_test

Array = np.ndarray[Any, np.dtype[Any]]
D = 64
TRUE = 0.15**2  # of a Gaussian of deviation 1.15 against 1, over its variance


def normal(n: int, seed: int, d: int = D) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize(("n", "m"), [(200, 2000), (400, 800), (1000, 2000), (3000, 6000)])
def test_a_wrong_deviation_scores_the_same_at_every_n(n: int, m: int) -> None:
    found = [excess_frechet(1.15 * normal(n, i), normal(m, 99 + i), seed=i).e for i in range(6)]
    # One figure of 200 rows is known to 0.005; without the correction it would be 0.040.
    assert np.mean(found) == pytest.approx(TRUE, abs=0.006 if n < 1000 else 0.002)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.85, 1.0, 1.15])
@pytest.mark.parametrize(("n", "m"), [(200, 400), (1000, 2000)])
def test_the_interval_holds_the_true_value_in_nine_of_ten(scale: float, n: int, m: int) -> None:
    found = [
        excess_frechet(scale * normal(n, 2 * i), normal(m, 2 * i + 1), seed=i) for i in range(100)
    ]
    assert sum(low <= (scale - 1) ** 2 <= high for _, low, high in found) >= 90


def test_of_many_rows_it_is_what_whole_distances_say() -> None:
    turn = ortho_group.rvs(5, random_state=0) * np.sqrt([1, 2, 3, 4, 5])
    test = normal(40_000, 0, 5) @ turn
    ours = 1.3 * normal(20_000, 1, 5) @ turn[:, ::-1] + 0.5
    a, b = test[:20_000], test[20_000:]
    expected = frechet_distance(ours, b) - frechet_distance(a, b)
    found = excess_frechet(ours, test, seed=0)
    assert found.e == pytest.approx(expected / np.trace(np.cov(b.T)), rel=0.03)
    assert found.high - found.low < 0.2 * found.e


def test_it_grows_with_what_is_wrong_and_is_sure_of_what_is_far() -> None:
    test = normal(1000, 0, 8)
    found = [excess_frechet(s * normal(500, 1, 8), test, seed=0) for s in (1.0, 1.3, 1.6, 2.0)]
    assert [f.e for f in found] == sorted(f.e for f in found)
    assert found[0].low < 0 < found[0].high
    assert all(low > 0 for _, low, _ in found[1:])


def test_units_and_directions_change_nothing() -> None:
    ours, test = 1.2 * normal(300, 0, 4), normal(600, 1, 4)
    turn = 1e3 * ortho_group.rvs(4, random_state=0)
    found = excess_frechet(ours @ turn + 1e5, test @ turn + 1e5, seed=0)
    np.testing.assert_allclose(found, excess_frechet(ours, test, seed=0), rtol=1e-5)


def test_constant_features_and_equal_synthetic_rows_give_what_is_finite() -> None:
    test = np.hstack([normal(300, 0, 3), np.full((300, 2), 0.1)])
    for ours in (test[:150], np.tile(test[:1], (150, 1)), 1e8 * test[:150]):
        assert np.isfinite(excess_frechet(ours, test, seed=0)).all()


def test_few_rows_and_equal_rows_are_refused() -> None:
    for n, m in ((191, 1000), (1000, 383)):
        with pytest.raises(InputError, match="expected at least 192 and 384: give more images"):
            excess_frechet(normal(n, 0), normal(m, 1), seed=0)
    assert np.isfinite(excess_frechet(normal(192, 0), normal(384, 1), seed=0)).all()
    with pytest.raises(InputError, match="all test rows are equal"):
        excess_frechet(normal(100, 0, 3), np.ones((200, 3)), seed=0)


def test_the_kernel_test_measures_what_the_kernel_distance_does() -> None:
    a, b = normal(80, 0, 5), 1.5 * normal(80, 1, 5)
    kid, p = kernel_test(a, b, seed=0)
    assert kid == pytest.approx(kernel_distance(a, b, subset_size=80, seed=0).mean, rel=1e-9)
    assert p < 0.01


def test_p_is_small_of_like_samples_as_often_as_it_says() -> None:
    p = [kernel_test(normal(30, 2 * i, 5), normal(50, 2 * i + 1, 5), seed=i)[1] for i in range(100)]
    assert sum(value < 0.1 for value in p) == pytest.approx(10, abs=9)  # three deviations
    assert np.mean(p) == pytest.approx(0.5, abs=0.09)


def test_equal_rows_are_told_apart_by_nothing() -> None:
    assert kernel_test(np.ones((12, 3)), np.ones((9, 3)), seed=0)[1] == 1
    with pytest.raises(InputError, match="1 and 5 rows"):
        kernel_test(normal(1, 0), normal(5, 1), seed=0)

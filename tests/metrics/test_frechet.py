"""The Fréchet distance against closed forms and independent arithmetic."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ortho_group
from torchmetrics.image.fid import _compute_fid

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import frechet_distance, frechet_distance_at_infinity

Array = np.ndarray[Any, np.dtype[np.float64]]


def gaussian(mean: Array, covariance: Array, n: int = 200, seed: int = 0) -> Array:
    """A sample that has exactly this mean and covariance."""
    x = np.random.RandomState(seed).normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T).T  # now cov = I
    return x @ np.linalg.cholesky(covariance).T + mean


def positive(d: int, seed: int) -> Array:
    a = np.random.RandomState(seed).normal(size=(d, d + 2))
    return a @ a.T / d


@pytest.fixture
def features() -> tuple[Array, Array]:
    return (
        gaussian(np.arange(5.0), positive(5, 1), seed=1),
        gaussian(np.ones(5), positive(5, 2), n=333, seed=2),
    )


def test_only_the_means_differ() -> None:
    covariance = positive(4, 0)
    a = gaussian(np.zeros(4), covariance, seed=1)
    b = gaussian(np.array([3.0, 0, 4.0, 0]), covariance, seed=2)
    assert frechet_distance(a, b) == pytest.approx(25)


def test_commuting_covariances() -> None:
    """The trace is then that of (A^1/2 - B^1/2)^2."""
    basis = ortho_group.rvs(3, random_state=0)
    a = basis @ np.diag([1.0, 4.0, 9.0]) @ basis.T
    b = basis @ np.diag([4.0, 4.0, 0.25]) @ basis.T
    found = frechet_distance(gaussian(np.zeros(3), a, seed=1), gaussian(np.full(3, 2.0), b, seed=2))
    assert found == pytest.approx(3 * 4 + 1 + 0 + 6.25)


@pytest.mark.parametrize("d", [2, 5, 20])
def test_covariances_that_do_not_commute(d: int) -> None:
    a, b = positive(d, 3), positive(d, 4)
    assert not np.allclose(a @ b, b @ a)
    expected = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real) + 4 * d
    found = frechet_distance(gaussian(np.zeros(d), a, seed=1), gaussian(np.full(d, 2.0), b, seed=2))
    assert found == pytest.approx(expected)


def test_one_feature() -> None:
    a = gaussian(np.zeros(2), np.diag([4.0, 1.0]))[:, :1]
    b = gaussian(np.ones(2), np.diag([25.0, 1.0]))[:, :1]
    assert frechet_distance(a, b) == pytest.approx(1 + (5 - 2) ** 2)


def test_the_arithmetic_is_that_of_torchmetrics(features: tuple[Array, Array]) -> None:
    moments = [
        torch.from_numpy(np.asarray(m))
        for x in features
        for m in (x.mean(0), np.cov(x, rowvar=False))
    ]
    assert frechet_distance(*features) == pytest.approx(_compute_fid(*moments).item())


def test_identical_sets_are_at_zero(features: tuple[Array, Array]) -> None:
    assert frechet_distance(features[0], features[0].copy()) == pytest.approx(0, abs=1e-10)
    shuffled = np.random.RandomState(0).permutation(features[0])
    assert frechet_distance(features[0], shuffled) == pytest.approx(0, abs=1e-10)


def test_it_is_symmetric(features: tuple[Array, Array]) -> None:
    a, b = features
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_rotating_and_moving_both_changes_nothing(features: tuple[Array, Array]) -> None:
    rotation = ortho_group.rvs(5, random_state=0)
    a, b = (x @ rotation + 7 for x in features)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(*features))


def test_scaling_both_scales_the_distance_by_the_square(features: tuple[Array, Array]) -> None:
    a, b = (3 * x for x in features)
    assert frechet_distance(a, b) == pytest.approx(9 * frechet_distance(*features))


def test_float32_features_are_judged_in_float64() -> None:
    a = (gaussian(np.zeros(5), positive(5, 1)) + 1000).astype(np.float32)
    b = (gaussian(np.zeros(5), positive(5, 2)) + 1000).astype(np.float32)
    expected = frechet_distance(a.astype(np.float64), b.astype(np.float64))
    assert frechet_distance(a, b) == expected


def test_features_without_full_rank_are_judged_in_the_space_that_they_span(
    features: tuple[Array, Array],
) -> None:
    wide = ortho_group.rvs(40, random_state=0)[:5]  # 5 dimensions in 40
    a, b = (x @ wide for x in features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(*features), rel=1e-5)


@settings(deadline=None, max_examples=50)
@given(
    a=arrays(np.float64, (7, 3), elements=st.floats(-1e3, 1e3)),
    b=arrays(np.float64, (5, 3), elements=st.floats(-1e3, 1e3)),
)
def test_any_features_give_a_finite_distance_no_less_than_that_of_the_means(
    a: Array, b: Array
) -> None:
    found = frechet_distance(a, b)
    means = np.square(a.mean(0) - b.mean(0)).sum()
    assert np.isfinite(found)
    assert found >= means - 1e-6 * (1 + np.square(a).sum() + np.square(b).sum())
    assert found >= 0


def test_constant_features_are_at_the_distance_of_their_values() -> None:
    assert frechet_distance(np.zeros((9, 2)), np.full((9, 2), 3.0)) == pytest.approx(18)


@pytest.mark.parametrize(("n", "m"), [(5, 50), (50, 5), (2, 2), (1, 50)])
def test_no_more_rows_than_features_are_refused(n: int, m: int) -> None:
    x = np.random.RandomState(0).normal(size=(50, 5))
    with pytest.raises(InputError, match=f"{min(n, m)} images .* at least 6"):
        frechet_distance(x[:n], x[:m])


def test_one_row_more_than_features_is_enough() -> None:
    x = np.random.RandomState(0).normal(size=(12, 5))
    assert frechet_distance(x[:6], x[6:]) > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_features_that_are_not_finite_are_refused(
    features: tuple[Array, Array], value: float, side: int
) -> None:
    features[side][3, 3] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        frechet_distance(*features)


@pytest.mark.parametrize("spoil", [lambda x: x[:, :4], lambda x: x[:, 0], lambda x: x[None]])
def test_features_of_another_extractor_are_refused(
    features: tuple[Array, Array], spoil: Any
) -> None:
    with pytest.raises(InputError, match="take both from one extractor"):
        frechet_distance(features[0], spoil(features[1]))


def test_at_infinity_the_distance_is_nearer_to_that_of_the_distributions() -> None:
    d, true = 20, 4 + 20 * 0.25
    reference = gaussian(np.full(d, np.sqrt(4 / d)), 2.25 * np.eye(d))
    samples = [np.random.default_rng(seed).standard_normal((200, d)) for seed in range(20)]
    plain = np.array([frechet_distance(x, reference) for x in samples]) - true
    far = np.array([frechet_distance_at_infinity(x, reference, seed=0) for x in samples]) - true
    assert (np.abs(far) < np.abs(plain)).sum() >= 15
    # What is left of the bias is within the noise of a mean of 20.
    noise = far.std() / np.sqrt(20)
    assert abs(far.mean()) < 3 * noise
    assert plain.mean() > 5 * noise


def test_at_infinity_a_sample_of_the_reference_distribution_is_at_about_zero() -> None:
    d = 10
    reference = gaussian(np.zeros(d), np.eye(d))
    samples = [np.random.default_rng(seed).standard_normal((200, d)) for seed in range(20)]
    found = [
        frechet_distance_at_infinity(x, reference, seed=seed) for seed, x in enumerate(samples)
    ]
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / np.sqrt(20))
    assert min(found) < 0 < np.mean([frechet_distance(x, reference) for x in samples]) / 3


@pytest.mark.parametrize(("n", "enough"), [(11, False), (12, True)])
def test_at_infinity_half_of_the_rows_must_outnumber_the_features(n: int, enough: bool) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 50, 5))
    if enough:
        assert np.isfinite(frechet_distance_at_infinity(a[:n], b, seed=0))
    else:
        with pytest.raises(InputError, match=r"5 images .* at least 6"):
            frechet_distance_at_infinity(a[:n], b, seed=0)

"""Precision, recall, density and coverage: their definition, and cases with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import Manifold, manifold, samples

Array = np.ndarray[Any, np.dtype[np.float64]]


def normal(n: int, d: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


def radii(x: Array, k: int) -> Array:
    distances = cdist(x, x)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, k - 1]


def by_definition(real: Array, synthetic: Array, k: int) -> Manifold:
    """From full matrices of distances, each taken between two rows and exact on a lattice."""
    distances = cdist(real, synthetic)
    in_real = distances <= radii(real, k)[:, None]
    in_synthetic = distances <= radii(synthetic, k)[None, :]
    return Manifold(
        precision=float(np.mean([in_real[:, j].any() for j in range(len(synthetic))])),
        recall=float(np.mean([in_synthetic[i].any() for i in range(len(real))])),
        density=in_real.sum() / (k * len(synthetic)),
        coverage=float(np.mean([in_real[i].any() for i in range(len(real))])),
    )


# Few values, so that rows are often equal, and often on the border of a ball.
ROWS = st.integers(4, 15).flatmap(
    lambda n: arrays(np.float64, (n, 2), elements=st.integers(-2, 3).map(float))
)


@settings(deadline=None, max_examples=200)
@given(real=ROWS, synthetic=ROWS, k=st.integers(1, 3))
def test_balls_hold_their_border(real: Array, synthetic: Array, k: int) -> None:
    found = manifold(real, synthetic, k=k)
    np.testing.assert_allclose(found, by_definition(real, synthetic, k), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("d", [1, 3, 100])
def test_it_is_the_definition_on_continuous_rows(d: int, k: int) -> None:
    real, synthetic = normal(300, d, 0), 0.9 * normal(200, d, 1) + 0.3
    found = manifold(real, synthetic, k=k)
    np.testing.assert_allclose(found, by_definition(real, synthetic, k), rtol=1e-12)


def test_it_is_the_definition_on_the_pixels_of_real_digits(digits: LabelledImages) -> None:
    x = digits.images.flatten(1).double().numpy()
    real, synthetic = x[:500], x[500:800]
    found = manifold(real, synthetic)
    np.testing.assert_allclose(found, by_definition(real, synthetic, 5), rtol=1e-12)
    assert min(found) > 0.8


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("d", [1, 2, 16, 100])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_identical_rows_that_all_differ_score_one_and_fill_every_ball(
    d: int, k: int, offset: float
) -> None:
    x = normal(150, d, d) + offset
    np.testing.assert_allclose(manifold(x, x.copy(), k=k), (1, 1, (k + 1) / k, 1), rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 16, 100])
@pytest.mark.parametrize("different", [1, 2, 30])
def test_identical_samples_score_one_however_often_a_row_stands_in_them(
    d: int, different: int
) -> None:
    rows = 3 * normal(different, d, d) + 1
    x = rows[np.random.default_rng(0).integers(0, different, 200)]
    found = manifold(x, x[::-1].copy())
    assert found[:2] == (1, 1)
    assert found.density >= 1
    assert found.coverage == 1


def test_equal_distributions_have_a_density_of_about_one() -> None:
    found = manifold(normal(1500, 4, 0), normal(1500, 4, 1))
    # A share of 1,500 rows is known to 0.013, and densities are less certain than shares.
    assert found.density == pytest.approx(1, abs=0.08)
    assert min(found) > 0.9


def test_disjoint_samples_score_nothing() -> None:
    assert manifold(normal(50, 3, 0), normal(60, 3, 1) + 100) == (0, 0, 0, 0)


def test_a_mode_that_is_missing_costs_recall_and_coverage_alone() -> None:
    real = np.vstack([normal(300, 2, 0), normal(300, 2, 1) + 50])
    found = manifold(real, normal(600, 2, 2))
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.03)
    assert found.coverage == pytest.approx(0.5, abs=0.03)


def test_a_mode_that_is_invented_costs_precision_and_density_alone() -> None:
    synthetic = np.vstack([normal(600, 2, 0), normal(600, 2, 1) + 50])
    found = manifold(normal(600, 2, 2), synthetic)
    assert found.precision == pytest.approx(0.5, abs=0.03)
    assert found.density == pytest.approx(0.5, abs=0.06)
    assert found.recall > 0.9
    assert found.coverage > 0.9


def test_noise_costs_precision() -> None:
    real = normal(500, 10, 0)
    found = [manifold(real, noise * normal(500, 10, 1)).precision for noise in (1, 1.5, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.8
    assert found[-1] < 0.05


def test_synthetic_rows_all_alike_are_precise_and_cover_next_to_nothing() -> None:
    real = normal(500, 3, 0)
    found = manifold(real, np.tile(real[:1], (300, 1)))
    assert found.precision == 1
    assert found.recall == pytest.approx(1 / 500)
    assert found.coverage < 0.03


def test_one_real_outlier_lends_precision_and_hardly_any_density() -> None:
    real = np.vstack([normal(200, 2, 0), [[1000.0, 1000.0]]])
    synthetic = normal(200, 2, 1) + np.array([300.0, 300.0])
    found = manifold(real, synthetic)
    assert found.precision == 1
    assert found.density == pytest.approx(1 / 5)


def test_the_precision_of_one_is_the_recall_of_the_other() -> None:
    a, b = normal(200, 3, 0), 1.4 * normal(150, 3, 1)
    there, back = manifold(a, b), manifold(b, a)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.coverage != back.coverage


@pytest.mark.parametrize("megabytes", [1, 1024])
def test_the_bound_on_memory_changes_nothing(
    megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MEGABYTES", megabytes)
    real, synthetic = normal(700, 3, 0), 1.2 * normal(1100, 3, 1)
    found = manifold(real, synthetic)
    np.testing.assert_allclose(found, by_definition(real, synthetic, 5), rtol=1e-12)


@pytest.mark.parametrize("k", [-1, 0, 10, 20])
def test_neighbours_that_do_not_exist_are_refused(k: int) -> None:
    with pytest.raises(InputError, match=f"{k} neighbours .* 20 real and 10 synthetic rows"):
        manifold(normal(20, 2, 0), normal(10, 2, 1), k=k)


def test_one_neighbour_fewer_than_rows_is_enough() -> None:
    real, synthetic = normal(20, 2, 0), normal(10, 2, 1)
    found = manifold(real, synthetic, k=9)
    np.testing.assert_allclose(found, by_definition(real, synthetic, 9), rtol=1e-12)

"""What the measures say together of real digits, and of digits that were changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import (
    classifier_test,
    frechet_distance,
    frechet_distance_at_infinity,
    kernel_distance,
    kolmogorov_smirnov,
    manifold,
    mmd,
    nearest_neighbour_test,
    novelty,
    sliced_wasserstein,
    wasserstein,
)

Array = np.ndarray[Any, np.dtype[np.float64]]

N = 1200

DISTANCES: dict[str, Callable[[Array, Array], float]] = {
    "classifier_test": lambda a, b: classifier_test(a, b, seed=0).accuracy,
    "frechet_distance": frechet_distance,
    "frechet_distance_at_infinity": lambda a, b: frechet_distance_at_infinity(a, b, seed=0),
    "kernel_distance": lambda a, b: kernel_distance(a, b, subset_size=300, seed=0).mean,
    "kolmogorov_smirnov": lambda a, b: float(kolmogorov_smirnov(a, b).mean()),
    "mmd": lambda a, b: mmd(a, b, seed=0),
    "nearest_neighbour_test": lambda a, b: nearest_neighbour_test(a, b, seed=0).accuracy,
    "sliced_wasserstein": lambda a, b: sliced_wasserstein(a, b, seed=0),
    "wasserstein": lambda a, b: float(wasserstein(a, b).mean()),
}


def blurred(x: Array, amount: float) -> Array:
    return gaussian_filter(x, (0, amount, amount))


def brightened(x: Array, amount: float) -> Array:
    return np.clip(x + amount, 0, 1)


def noisy(x: Array, amount: float) -> Array:
    noise = np.random.default_rng(0).standard_normal(x.shape)
    return np.clip(x + amount * noise, 0, 1)


CHANGES: dict[str, tuple[Callable[[Array, float], Array], tuple[float, ...]]] = {
    "blurred": (blurred, (1.0, 2.0, 4.0)),
    "brightened": (brightened, (0.1, 0.2, 0.4)),
    "noisy": (noisy, (0.3, 0.6, 1.2)),
}


@pytest.fixture(scope="module")
def images(digits: LabelledImages) -> Array:
    """The digits between 0 and 1, (n, 28, 28)."""
    return digits.images[:, 0].double().numpy() / 255


def pixels(x: Array) -> Array:
    return x.reshape(len(x), -1)


def features(x: Array) -> Array:
    """The brightness of 25 squares in the middle, so that rows far outnumber features."""
    return x[:, 4:24, 4:24].reshape(len(x), 5, 4, 5, 4).mean((2, 4)).reshape(len(x), 25)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("measure", DISTANCES)
def test_the_more_digits_are_changed_the_farther_they_are_from_digits(
    images: Array, measure: str, change: str
) -> None:
    of, amounts = CHANGES[change]
    real, other = features(images[:N]), images[N : 2 * N]
    candidates = [other, *(of(other, amount) for amount in amounts)]
    found = [DISTANCES[measure](features(x), real) for x in candidates]
    # Both tests end at 1, where there is nothing more to tell.
    steps = np.diff([x for x in found if x != 1] if measure.endswith("test") else found)
    assert (steps > 0).all()
    assert found[-1] > found[0]


@pytest.mark.parametrize("measure", DISTANCES)
def test_halves_of_the_digits_are_nearly_alike(images: Array, measure: str) -> None:
    real, other = features(images[:N]), features(images[N : 2 * N])
    distance = DISTANCES[measure]
    if measure.endswith("test"):
        # Four standard errors of a share of 1,200 rows.
        assert distance(other, real) == pytest.approx(0.5, abs=0.058)
    else:
        changed = features(blurred(images[N : 2 * N], 4.0))
        assert distance(other, real) < 0.2 * distance(changed, real)


def test_noise_costs_digits_their_precision_and_blur_their_recall(images: Array) -> None:
    real, other = pixels(images[:N]), images[N : 2 * N]
    plain = manifold(real, pixels(other))
    assert min(plain) > 0.85
    of_noise = manifold(real, pixels(noisy(other, 0.3)))
    assert of_noise.precision < 0.5 * plain.precision
    assert of_noise.density < 0.5 * plain.density
    assert of_noise.coverage < 0.5 * plain.coverage
    of_blur = manifold(real, pixels(blurred(other, 2.0)))
    assert of_blur.recall < 0.5 * plain.recall
    assert of_blur.coverage < 0.9 * plain.coverage
    # Blurred digits stand between many real ones: what is plausible need not be sharp.
    assert of_blur.precision > plain.precision
    assert of_blur.density > 5 * plain.density


def test_digits_without_half_of_the_classes_are_precise_and_recall_and_cover_less(
    digits: LabelledImages, images: Array
) -> None:
    labels = digits.labels.numpy()
    x = features(images)
    real, rest, of = x[:N], x[N:], labels[N:]
    whole, half = rest[:N], rest[of < 5][:N]
    assert len(half) == N
    plain, lacking = manifold(real, whole), manifold(real, half)
    assert lacking.precision == pytest.approx(plain.precision, abs=0.05)
    assert lacking.recall < plain.recall - 0.1
    assert lacking.coverage < plain.coverage - 0.2


def test_copies_pass_every_distance_and_are_told_by_neighbours_alone(images: Array) -> None:
    x = features(images)
    training, held_out, real = x[:N], x[N : 2 * N], x[2 * N : 3 * N]
    copies = np.random.default_rng(0).permutation(training)
    for measure, distance in DISTANCES.items():
        if not measure.endswith("test"):
            assert distance(copies, real) < 2 * abs(distance(held_out, real)) + 0.02, measure
    assert min(manifold(real, copies)) > 0.85
    assert nearest_neighbour_test(copies, training, seed=0).accuracy < 0.01
    found = novelty(copies, training, held_out)
    assert found[:2] == (0, 0)
    fresh = novelty(real, training, held_out)
    assert fresh.dcr_ratio == pytest.approx(1, abs=0.1)
    assert fresh.authentic == pytest.approx(fresh.authentic_held_out, abs=0.08)

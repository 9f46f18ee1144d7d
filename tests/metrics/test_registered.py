"""Nearest images: what was moved or turned is found, against searches written by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, rotate
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import blurred, closest_images, registered_nearest, share_above
from hvrt_diffuser.metrics import registered as module


def noise(n: int, c: int = 1, h: int = 12, w: int = 12, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, c, h, w), dtype=torch.uint8, generator=source)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14), (1, 5, 3), (1, 1, 1)])
def test_the_blur_is_that_of_scipy(shape: tuple[int, int, int]) -> None:
    images = noise(4, *shape)
    expected = [
        [gaussian_filter(x / 255, 1.5, mode="nearest", truncate=4)[::2, ::2] for x in image]
        for image in images.double().numpy()
    ]
    found = blurred(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected).reshape(4, -1), atol=1e-6)


def by_definition(query: Tensor, reference: Tensor, shift: int) -> list[float]:
    """The least distance of a query to each image, window by window."""
    h, w = query.shape[1:]
    x, y = query.double() / 255, reference.double() / 255
    middle = y[:, :, shift : h - shift, shift : w - shift]
    places = product(range(2 * shift + 1), repeat=2)
    windows = [x[:, i : i + h - 2 * shift, j : j + w - 2 * shift] for i, j in places]
    return [min((a - b).norm().item() for a in windows) for b in middle]


@pytest.mark.parametrize(("shift", "channels"), [(0, 1), (1, 3), (2, 1)])
def test_it_is_the_least_distance_over_all_shifts(shift: int, channels: int) -> None:
    queries, reference = noise(6, channels, 10, 12), noise(9, channels, 10, 12, seed=1)
    index, distance = registered_nearest(queries, reference, shift=shift)
    expected = np.array([by_definition(x, reference, shift) for x in queries])
    assert np.array_equal(index, expected.argmin(1))
    np.testing.assert_allclose(distance, expected.min(1), rtol=1e-6)


@pytest.mark.parametrize("move", list(product((-2, 0, 1, 2), repeat=2)))
def test_digits_that_were_moved_are_no_distance_away(
    digits: LabelledImages, move: tuple[int, int]
) -> None:
    moved = digits.images[:40].roll(move, (2, 3))
    index, distance = registered_nearest(moved, digits.images[:1000])
    assert index.tolist() == list(range(40))
    assert distance.max() < 1e-6


def test_exact_copies_are_at_distance_zero_and_no_reference_is_nearer(
    digits: LabelledImages,
) -> None:
    index, distance = registered_nearest(digits.images[:300], digits.images, turns=(-10, 10))
    assert index.tolist() == list(range(300))
    assert not distance.any()


def test_with_itself_left_out_it_is_the_search_among_the_others(digits: LabelledImages) -> None:
    images = digits.images[:60]
    index, distance = registered_nearest(images, images, skip_self=True)
    for i in range(len(images)):
        others = torch.cat([images[:i], images[i + 1 :]])
        found, expected = registered_nearest(images[i : i + 1], others)
        assert index[i] == found[0] + (found[0] >= i)
        assert distance[i] == expected[0]


def test_a_turn_is_undone(digits: LabelledImages) -> None:
    images = digits.images[:1000]
    turned = rotate(images[:100, 0].float().numpy(), 10, (1, 2), reshape=False, order=1)
    turned = torch.from_numpy(turned.round().clip(0, 255).astype(np.uint8))[:, None]
    plain = registered_nearest(turned, images)[1]
    index, distance = registered_nearest(turned, images, turns=(-10, -5, 5, 10))
    assert (index == np.arange(100)).mean() > 0.97
    assert (distance <= plain).all()
    assert np.median(distance) < np.median(plain) / 1.5


def test_more_memory_changes_nothing(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, reference = digits.images[:50], digits.images[50:500]
    expected = registered_nearest(queries, reference)
    near = closest_images(queries, reference, blurred, 5)
    monkeypatch.setattr(module, "AT_ONCE", 10_000)
    found = registered_nearest(queries, reference)
    assert np.array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1])
    assert np.array_equal(closest_images(queries, reference, blurred, 5), near)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 6, 7])
def test_small_images_are_moved_by_less(side: int) -> None:
    images = noise(30, 3, side, 9)
    index, distance = registered_nearest(images[:5], images, turns=(10,))
    assert not distance.any()
    assert torch.equal(images[index], images[:5])


def test_a_reference_of_one_image_is_enough() -> None:
    index, distance = registered_nearest(noise(3), noise(1, seed=1))
    assert index.tolist() == [0, 0, 0]
    assert (distance > 0).all()


@pytest.mark.parametrize(
    ("queries", "reference"),
    [
        (noise(2), noise(2, 3)),
        (noise(2), noise(2, 1, 11)),
        (noise(0), noise(2)),
        (noise(2), noise(0)),
        (noise(2)[:, 0], noise(2)[:, 0]),
    ],
)
def test_sets_that_do_not_fit_are_refused(queries: Tensor, reference: Tensor) -> None:
    with pytest.raises(InputError, match="expected"):
        registered_nearest(queries, reference)


def test_a_set_of_one_has_no_other_image() -> None:
    with pytest.raises(InputError, match="1 neighbours were asked for among 1 images"):
        registered_nearest(noise(1), noise(1), skip_self=True)


def test_turned_fresh_digits_are_no_copies(digits: LabelledImages) -> None:
    """The turns do not make what was turned look nearer than it is."""
    turned = rotate(digits.images[4500:, 0].float().numpy(), 10, (1, 2), reshape=False, order=1)
    images = torch.from_numpy(turned.round().clip(0, 255).astype(np.uint8))[:, None]
    fresh, draws = (
        registered_nearest(x, digits.images[:4000], turns=(-10, -5, 5, 10))[1]
        for x in (digits.images[4000:4500], images)
    )
    assert share_above(draws, fresh).value == pytest.approx(0.5, abs=0.08)

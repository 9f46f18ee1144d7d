"""Augmented images: where a spot goes says what was done to the image."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hvrt_diffuser.data.augmentation import (
    Augmentation,
    FlipAndCrop,
    choose_augment,
    shifted,
)
from hvrt_diffuser.data.images import LabelledImages

N = 500
SIZES = pytest.mark.parametrize("size", [(41, 41), (31, 61)])
OFF = (6.0, 9.0)  # the spot's way from the centre, down and to the right, pixels


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**amounts: float) -> Augmentation:
    return Augmentation(**{"rotation": 0, "shift": 0, "scale": 0, "shear": 0, **amounts})


def spot(size: tuple[int, int]) -> Tensor:
    """N images of a soft spot, uint8 (n, 1, h, w)."""
    h, w = size
    y = torch.arange(h)[:, None] - (h - 1) / 2 - OFF[0]
    x = torch.arange(w) - (w - 1) / 2 - OFF[1]
    image = (255 * torch.exp(-(y**2 + x**2) / 8)).round().to(torch.uint8)
    return image.expand(N, 1, h, w).clone()


def found(images: Tensor) -> tuple[Tensor, Tensor]:
    """How far the spot of each image is from the centre, down and to the right."""
    weight = images[:, 0].double()
    h, w = weight.shape[1:]
    total = weight.sum((1, 2))
    down = (weight.sum(2) * (torch.arange(h) - (h - 1) / 2)).sum(1) / total
    right = (weight.sum(1) * (torch.arange(w) - (w - 1) / 2)).sum(1) / total
    return down, right


def uniform_up_to(most: float, amounts: Tensor) -> None:
    assert amounts.abs().max() <= most * 1.02
    assert amounts.min() < -0.9 * most
    assert amounts.max() > 0.9 * most
    assert amounts.std().item() == pytest.approx(most / math.sqrt(3), rel=0.1)


def test_nothing_asked_changes_nothing(digits: LabelledImages) -> None:
    assert torch.equal(only().apply(digits.images[:50], generator=source()), digits.images[:50])


@SIZES
def test_shifts_are_pixels(size: tuple[int, int]) -> None:
    down, right = found(only(shift=3).apply(spot(size), generator=source()))
    uniform_up_to(3, down - OFF[0])
    uniform_up_to(3, right - OFF[1])
    assert abs(torch.corrcoef(torch.stack([down, right]))[0, 1]) < 0.15


@SIZES
def test_rotations_are_degrees_about_the_centre(size: tuple[int, int]) -> None:
    down, right = found(only(rotation=20).apply(spot(size), generator=source()))
    assert (torch.hypot(down, right) - math.hypot(*OFF)).abs().max() < 0.1
    angle = torch.atan2(down, right) - math.atan2(*OFF)
    uniform_up_to(20, angle.rad2deg())


@SIZES
def test_scales_are_shares_of_the_size(size: tuple[int, int]) -> None:
    down, right = found(only(scale=0.2).apply(spot(size), generator=source()))
    assert (torch.atan2(down, right) - math.atan2(*OFF)).abs().max() < 0.02
    uniform_up_to(0.2, torch.hypot(down, right) / math.hypot(*OFF) - 1)


@SIZES
def test_shears_are_degrees_of_what_stands_upright(size: tuple[int, int]) -> None:
    down, right = found(only(shear=15).apply(spot(size), generator=source()))
    assert (down - OFF[0]).abs().max() < 0.1
    uniform_up_to(15, torch.atan((right - OFF[1]) / OFF[0]).rad2deg())


def test_what_comes_in_is_the_edge() -> None:
    grey = torch.full((20, 3, 9, 9), 200, dtype=torch.uint8)
    assert torch.equal(Augmentation().apply(grey, generator=source()), grey)


def test_the_same_seed_gives_the_same_bytes_and_every_version_is_another(
    digits: LabelledImages,
) -> None:
    images = digits.images[:100]
    one, other, third = (
        torch.stack(list(Augmentation(copies=2).versions(images, seed=seed))) for seed in (0, 0, 1)
    )
    assert one.shape == (2, *images.shape)
    assert torch.equal(one, other)
    for a, b in ((one[0], one[1]), (one[0], third[0]), (one[0], images)):
        assert (a != b).flatten(1).any(1).all()


def test_many_are_changed_as_one_by_one_batches_are() -> None:
    image = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5) * 10
    many = Augmentation().apply(image.expand(5000, 1, 5, 5), generator=source())
    assert len(many.flatten(1).unique(dim=0)) > 1000
    assert (many[4096:] != 0).flatten(1).any(1).all()


def test_no_copies_are_no_versions(digits: LabelledImages) -> None:
    assert list(Augmentation().versions(digits.images[:5], seed=0)) == []


@pytest.mark.parametrize(
    "wrong", [{"copies": -1}, {"scale": 1}, {"rotation": 181}, {"shear": 45}, {"turn": 3}]
)
def test_amounts_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Augmentation(**wrong)


# ---- photographs


def test_half_of_the_photographs_are_mirrored_and_nothing_else() -> None:
    images = torch.randint(0, 256, (N, 3, 9, 7), dtype=torch.uint8, generator=source())
    changed = FlipAndCrop(padding=0).apply(images, generator=source())
    same, mirrored = ((changed == other).flatten(1).all(1) for other in (images, images.flip(3)))
    assert (same ^ mirrored).all()
    assert 0.4 < mirrored.double().mean() < 0.6


def test_a_crop_moves_by_an_eighth_at_most_each_way() -> None:
    images = torch.arange(16)[None, None, :, None].expand(N, 1, 16, 16).to(torch.uint8)
    changed = FlipAndCrop().apply(images, generator=source())
    moved = changed[:, 0, 8, 0].long() - 8
    assert moved.unique().tolist() == [-2, -1, 0, 1, 2]
    rows = torch.arange(16)[None] + moved[:, None]
    assert torch.equal(changed[:, 0, :, 5].long(), rows.clamp(0, 15)), "its edge is repeated"


def test_each_image_is_moved_in_both_ways() -> None:
    y, x = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
    images = (10 * y + x).expand(N, 1, 6, 8).float()
    moved = shifted(images, 1, source())
    found = {tuple(divmod(int(value), 10)) for value in moved[:, 0, 3, 4]}
    assert found == {(down, right) for down in (2, 3, 4) for right in (3, 4, 5)}
    assert shifted(images, 0, source()) is images


def test_what_auto_takes() -> None:
    affine = Augmentation(rotation=3)
    assert choose_augment("auto", 1, affine) is choose_augment("affine", 3, affine) is affine
    for name, channels in (("auto", 3), ("flip_and_crop", 1)):
        assert choose_augment(name, channels, affine) == FlipAndCrop()

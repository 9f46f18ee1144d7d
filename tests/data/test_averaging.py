"""Images averaged down: means of squares, the same sides' ratio, and nothing where it is small."""

from __future__ import annotations

import torch

from hvrt_diffuser.data.averaging import averaged
from hvrt_diffuser.data.images import LabelledImages


def test_squares_of_equal_pixels_become_one(digits: LabelledImages) -> None:
    images = digits.images[:300]
    large = images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.equal(averaged(large, 28), images)


def test_small_images_stay_as_they_are(digits: LabelledImages) -> None:
    assert averaged(digits.images, 28) is digits.images


def test_both_sides_shrink_alike_and_brightness_stays() -> None:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 100, 50), generator=source, dtype=torch.uint8)
    found = averaged(images, 64)
    assert found.shape == (2, 3, 64, 32)
    means = [each.float().mean((2, 3)) for each in (images, found)]
    torch.testing.assert_close(*means, atol=2.0, rtol=0)
    assert averaged(images[..., :1], 10).shape == (2, 3, 10, 1)

"""Images changed a little, each in its own way, as far as their labels allow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import Copies, Degrees, Pixels, Share
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.seeding import generator

__all__ = [
    "Augment",
    "AugmentName",
    "Augmentation",
    "FlipAndCrop",
    "Mirrored",
    "choose_augment",
    "mirrors",
    "shifted",
]

AT_ONCE = 4096  # images whose grids are in memory at a time

AugmentName = Literal["auto", "affine", "flip_and_crop"]
Mirrored = Literal["auto", "always", "never"]


class Augment(Protocol):
    """What changes a batch of images anew each time."""

    def apply(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """From uint8 (n, c, h, w), on any device, to as many of the same shape and type.

        Args:
            images: to be changed.
            generator: on the CPU, the only source of randomness.
        """


class Augmentation(Options):
    """How many changed versions of each image, and how far, each way: amounts are uniform."""

    copies: Copies = Field(0, description="versions of each image")
    rotation: Degrees = Field(10.0, description="degrees")
    shift: Pixels = Field(1.5, description="pixels, horizontally and vertically")
    scale: Share = Field(0.1, lt=1, description="share of the size")
    shear: Degrees = Field(5.0, lt=45, description="degrees")

    def versions(self, images: Tensor, *, seed: int) -> Iterator[Tensor]:
        """``copies`` times all images uint8 (n, c, h, w), each changed in its own way."""
        for copy in range(self.copies):
            yield self.apply(images, generator=generator(seed, "augmentation", copy))

    def apply(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """A changed version of each image, interpolated bilinearly; its edge is repeated.

        Args:
            images: uint8 (n, c, h, w).
            generator: on the CPU, the only source of randomness.

        Returns:
            uint8 (n, c, h, w), on the device of the images.
        """
        matrices = self._matrices(len(images), images.shape[2:], generator).to(images.device)
        changed = torch.empty_like(images)
        for start in range(0, len(images), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            x = images[part].float()
            grid = F.affine_grid(matrices[part], list(x.shape), align_corners=False)
            moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
            changed[part] = moved.round_().clamp_(0, 255).to(torch.uint8)
        return changed

    def _matrices(self, n: int, size: torch.Size, generator: torch.Generator) -> Tensor:
        """(n, 2, 3), from a pixel of the result to where it comes from, in half sides."""
        h, w = size
        amounts = torch.rand(5, n, generator=generator) * 2 - 1
        angle = amounts[0] * math.radians(self.rotation)
        slant = (amounts[1] * math.radians(self.shear)).tan()
        factor = 1 + amounts[2] * self.scale
        cos, sin = angle.cos() / factor, angle.sin() / factor
        aspect = h / w  # the axes' units differ where an image is not square
        matrices = torch.empty(n, 2, 3)
        matrices[:, 0, 0] = cos
        matrices[:, 0, 1] = (slant * cos - sin) * aspect
        matrices[:, 1, 0] = sin / aspect
        matrices[:, 1, 1] = slant * sin + cos
        matrices[:, 0, 2] = amounts[3] * self.shift * 2 / w
        matrices[:, 1, 2] = amounts[4] * self.shift * 2 / h
        return matrices


class FlipAndCrop(Options):
    """What photographs bear: mirrored half the time, and moved (He et al., arXiv 1512.03385)."""

    padding: Share = Field(0.125, description="largest move each way, share of a side")

    def apply(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """See :meth:`Augment.apply`; what comes in is the repeated edge."""
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        shift = round(self.padding * min(images.shape[2:]))
        moved = shifted(images, shift, generator)
        return torch.where(mirrored.to(images.device)[:, None, None, None], moved.flip(3), moved)


def choose_augment(name: AugmentName, channels: int, affine: Augmentation) -> Augment:
    """``affine``, or flips and crops; ``auto`` takes those for colour images."""
    if name == "affine" or (name == "auto" and channels == 1):
        return affine
    return FlipAndCrop()


def mirrors(mirrored: Mirrored, channels: int) -> bool:
    """Whether an image's mirror image is one of its class; ``auto`` says so of colour images."""
    return mirrored == "always" or (mirrored == "auto" and channels == 3)


def shifted(x: Tensor, shift: int, source: torch.Generator) -> Tensor:
    """Each image (n, c, h, w) moved by up to ``shift`` pixels each way, its edge repeated."""
    if not shift:
        return x
    n, _, h, w = x.shape
    moves = torch.randint(-shift, shift + 1, (2, n, 1), generator=source).to(x.device)
    rows = (torch.arange(h, device=x.device) + moves[0]).clamp(0, h - 1)[:, :, None]  # (n, h, 1)
    columns = (torch.arange(w, device=x.device) + moves[1]).clamp(0, w - 1)[:, None, :]  # (n, 1, w)
    image = torch.arange(n, device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)

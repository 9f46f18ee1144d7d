"""Binary images, of which models of a Bernoulli likelihood say how likely they are."""

from __future__ import annotations

import torch
from torch import Tensor

from hvrt_diffuser.common.seeding import generator

__all__ = ["binarise", "binary_images"]


def binarise(images: Tensor, source: torch.Generator) -> Tensor:
    """Binary draws (n, c, h, w), float32, of uint8 images as probabilities."""
    return torch.bernoulli(images.float() / 255, generator=source)


def binary_images(images: Tensor) -> Tensor:
    """Images (n, c, h, w) of zeros and ones, float32: the same for every model and seed."""
    return binarise(images, generator(0, "rivals", "binary images"))

"""Noise in two classes: how many files a new source touches."""

from __future__ import annotations

import torch
from pydantic import Field

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource
from hvrt_diffuser.data.sources.resizing import resize_labelled
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["ToyNoise"]


@SOURCES.register("toy_noise")
class ToyNoise(ImageSource):
    """Uniform noise, dark and light."""

    n: int = Field(1000, ge=2, description="images of each class")

    def read(self) -> ImageSplits:
        """Images uint8 (2 n, 1, 28, 28), or of the size asked for."""
        source = torch.Generator().manual_seed(0)
        shape = (self.n, 1, 28, 28)
        dark = torch.randint(0, 128, shape, generator=source, dtype=torch.uint8)
        light = torch.randint(128, 256, shape, generator=source, dtype=torch.uint8)
        labels = torch.arange(2).repeat_interleave(self.n)
        train = LabelledImages(torch.cat([dark, light]), labels, ("dark", "light"), "toy_noise")
        return ImageSplits(resize_labelled(train, self.resize), None)

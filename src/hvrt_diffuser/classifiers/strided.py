"""Strided convolutions: small and quick, for digits and other grey images."""

from __future__ import annotations

import math
from itertools import islice

from torch import Tensor, nn

__all__ = ["StridedTrunk"]

MAX_BOTTOM = 8  # halve until both sides are at most this


class StridedTrunk(nn.Sequential):
    """Strided convolutions with batch normalisation, and a linear layer.

    Args:
        shape: channels, height and width of an image, both sides even.
        width: channels at half the image's size.
        n_features: of the last layer.
    """

    smoothing = 0.0  # of the labels that it is trained by
    pixels_at_once = 2**23  # in evaluation, at most

    def __init__(self, shape: tuple[int, int, int], width: int, n_features: int) -> None:
        c, h, w = shape
        h, w = h // 2, w // 2
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), *_block(4 * c, width, 3, 1)]
        while max(h, w) > MAX_BOTTOM:
            layers += _block(width, 2 * width, 3, 2)
            h, w, width = math.ceil(h / 2), math.ceil(w / 2), 2 * width
        halfway = len(layers)
        super().__init__(
            *layers,
            *_block(width, width, 3, 1),
            nn.Flatten(),
            nn.Linear(width * h * w, n_features),
            nn.ReLU(),
        )
        self.halfway = halfway

    def middle(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to the maps (n, f, ...) before the last convolution."""
        for layer in islice(self, self.halfway):
            x = layer(x)
        return x

    def prepare(self, images: Tensor) -> None:
        """Nothing is computed of the training images."""


def _block(n_in: int, n_out: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]

"""The pseudoinput: the lowest frequencies of an image, without a trainable parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Downsampled", "Pseudoinput", "cosine_basis"]


def cosine_basis(n: int) -> Tensor:
    """The orthonormal DCT-II of n values, float32 (n, n): a row per frequency."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    basis = (2 / n) ** 0.5 * torch.cos(math.pi * k * (2 * i + 1) / (2 * n))
    basis[0] /= 2**0.5
    return basis.float()


class Pseudoinput(nn.Module):
    """f(x) and its pseudo-inverse: images (n, c, h, w) to coefficients (n, c, d, d) and back.

    Args:
        shape: channels, height and width of an image.
        size: coefficients kept in each direction, d.
    """

    scale: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int, int], size: int) -> None:
        super().__init__()
        c, h, w = shape
        self.register_buffer("rows", cosine_basis(h)[:size], persistent=False)  # (d, h)
        self.register_buffer("columns", cosine_basis(w)[:size], persistent=False)  # (d, w)
        self.register_buffer("scale", torch.ones(c, size, size))

    def coefficients(self, x: Tensor) -> Tensor:
        """The lowest coefficients (n, c, d, d) of images (n, c, h, w)."""
        return self.rows @ x @ self.columns.mT

    def fit(self, images: Tensor) -> None:
        """Take the scale from training images in [0, 1], (n, c, h, w)."""
        largest = self.coefficients(images).abs().amax(dim=0)
        self.scale.copy_(largest.clamp(min=1))

    def forward(self, x: Tensor) -> Tensor:
        """f(x), (n, c, d, d) in [-1, 1], of images in [0, 1]."""
        return (self.coefficients(x) / self.scale).clamp(-1, 1)

    def back(self, u: Tensor) -> Tensor:
        """The image of coefficients u (n, c, d, d), clipped, (n, c, h, w) in [-1, 1]."""
        x = self.rows.mT @ (u * self.scale) @ self.columns
        return 2 * x.clamp(0, 1) - 1


class Downsampled(nn.Module):
    """Means of the squares of an image as its pseudoinput, to compare with :class:`Pseudoinput`.

    Args:
        shape: channels, height and width of an image.
        size: numbers kept in each direction, d.
    """

    def __init__(self, shape: tuple[int, int, int], size: int) -> None:
        super().__init__()
        self.shape, self.size = shape, size

    def fit(self, images: Tensor) -> None:
        """Means of pixels need no scale."""

    def forward(self, x: Tensor) -> Tensor:
        """f(x), (n, c, d, d) in [-1, 1], of images in [0, 1]."""
        return 2 * F.adaptive_avg_pool2d(x, self.size) - 1

    def back(self, u: Tensor) -> Tensor:
        """The image of u (n, c, d, d), interpolated and clipped, (n, c, h, w) in [-1, 1]."""
        size = self.shape[1:]
        return F.interpolate(u, size=size, mode="bilinear", align_corners=False).clamp(-1, 1)

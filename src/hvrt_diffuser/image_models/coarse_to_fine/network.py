"""The network that draws an image with the detail that its coarse code lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.colour import LUMA_CHROMA

__all__ = ["DetailNetwork", "block_unit"]

PATCH = 2  # pixels a side that the network sees as channels: full size is slow to convolve at
CHROMA = 2  # of these a side have a colour together
NOISE = 20  # channels, with which those of colour images make 32: the shapes that are fast
GROUPS = 8  # of channels that are normalised together
MOST_BOTTOM = 8  # halve until the longer side is at most this
MOST_WIDER = 4  # times the first width, at most
CONDITION = 128  # numbers that say class and strength


def block_unit(h: int, w: int) -> int:
    """What both sides of an image have to be a multiple of."""
    return PATCH * 2 ** _halvings(h, w)


def _halvings(h: int, w: int) -> int:
    return max(1, math.ceil(math.log2(max(h, w) / PATCH / MOST_BOTTOM)))


class DetailNetwork(nn.Module):
    """G(coarse image, class, noise, strength): the image, in one evaluation.

    It adds brightness to each pixel, and colour to squares of four by four of them: at the size of
    a pixel photographs have next to no colour, and a network that may draw it there draws noise.

    Args:
        shape: of an image; grey or red, green and blue.
        n_classes: number of classes.
        width: channels at half the image's size.
    """

    inverse: Tensor

    def __init__(self, shape: Sequence[int], n_classes: int, width: int) -> None:
        super().__init__()
        c, h, w = shape
        self.size: dict[str, Any] = {"shape": list(shape), "n_classes": n_classes, "width": width}
        self.label = nn.Embedding(n_classes, CONDITION)
        self.condition = nn.Sequential(nn.Linear(CONDITION + 1, CONDITION), nn.SiLU())
        levels = _halvings(h, w)
        widths = [width * min(2**i, MOST_WIDER) for i in range(levels + 1)]
        self.enter = nn.Conv2d(PATCH**2 * c + NOISE, width, 3, padding=1)
        self.down = nn.ModuleList(_Block(n) for n in widths[:-1])
        self.downsample = nn.ModuleList(
            nn.Conv2d(n, wider, 2, stride=2) for n, wider in zip(widths, widths[1:], strict=False)
        )
        self.middle = nn.ModuleList(_Block(widths[-1]) for _ in range(2))
        self.upsample = nn.ModuleList(
            nn.Conv2d(wider, 4 * n, 1) for n, wider in zip(widths, widths[1:], strict=False)
        )
        self.up = nn.ModuleList(_Block(n) for n in widths[:-1])
        self.leave = nn.Conv2d(width, PATCH**2 + (2 if c == 3 else 0), 3, padding=1)
        nn.init.zeros_(self.leave.weight)  # it begins with the coarse image, without noise
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("inverse", torch.tensor(LUMA_CHROMA).inverse(), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, coarse: Tensor, labels: Tensor, strength: Tensor, source: torch.Generator
    ) -> Tensor:
        """Draw images (n, c, h, w), about in [0, 1].

        Args:
            coarse: (n, c, h, w), about in [0, 1].
            labels: int64 (n,).
            strength: (n,), how far the codes lie from the images that they started from, in units
                of the sampler's own.
            source: of the noise, on the network's device.
        """
        n, _, h, w = coarse.shape
        noise = torch.randn(
            n, NOISE, h // PATCH, w // PATCH, generator=source, device=coarse.device
        )
        x = torch.cat([2 * F.pixel_unshuffle(coarse, PATCH) - 1, noise], dim=1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        about = self.condition(torch.cat([self.label(labels), strength[:, None]], dim=1))
        kept = []
        for block, downsample in zip(self.down, self.downsample, strict=True):
            x = block(x, about)
            kept.append(x)
            x = downsample(x)
        for block in self.middle:
            x = block(x, about)
        for block, upsample in zip(reversed(self.up), reversed(self.upsample), strict=True):
            x = block(F.pixel_shuffle(upsample(x), 2) + kept.pop(), about)
        return coarse + self._composed(self.leave(F.silu(x)).float())

    def _composed(self, planes: Tensor) -> Tensor:
        """Changes of pixels (n, c, h, w) of planes (n, 4 or 6, h / 2, w / 2)."""
        luma = F.pixel_shuffle(planes[:, : PATCH**2], PATCH)
        if planes.shape[1] == PATCH**2:
            return luma
        chroma = F.avg_pool2d(planes[:, PATCH**2 :], CHROMA)
        chroma = F.interpolate(chroma, scale_factor=CHROMA * PATCH, mode="bilinear")
        return torch.einsum("ck,nkhw->nchw", self.inverse, torch.cat([luma, chroma], dim=1))


class _Block(nn.Module):
    """Two convolutions beside the identity, shifted and scaled by class and strength."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.about = nn.Linear(CONDITION, 2 * width)
        nn.init.zeros_(self.about.weight)
        nn.init.zeros_(self.about.bias)

    def forward(self, x: Tensor, about: Tensor) -> Tensor:
        scale, shift = self.about(about)[:, :, None, None].chunk(2, dim=1)
        y = self.convolutions[0](F.silu(self.norms[0](x)))
        y = self.norms[1](y) * (1 + scale) + shift
        out: Tensor = x + self.convolutions[1](F.silu(y))
        return out

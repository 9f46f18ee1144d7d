"""What a small classifier of the same images sees in them, stage by stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PATCH", "Perception"]

PATCH = 4  # pixels a side of what is compared as pixels
WIDTH = 64
FLOOR = 1e-4  # variance of a patch's direction, of pixels in [0, 1], that is not made larger


class Perception(nn.Module):
    """A classifier whose stages a loss looks at, and pixels.

    Args:
        channels: of an image.
        n_classes: number of classes.
    """

    whitener: Tensor

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        wide = WIDTH, 2 * WIDTH, 4 * WIDTH
        numbers = channels * PATCH**2
        self.register_buffer("whitener", torch.eye(numbers).view(numbers, channels, PATCH, PATCH))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    nn.PixelUnshuffle(2),
                    *_layer(4 * channels, wide[0]),
                    *_layer(wide[0], wide[0]),
                ),
                nn.Sequential(
                    nn.MaxPool2d(2), *_layer(wide[0], wide[1]), *_layer(wide[1], wide[1])
                ),
                nn.Sequential(nn.MaxPool2d(2), *_layer(wide[1], wide[2])),
            ]
        )
        self.head = nn.Linear(wide[2], n_classes)
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def look_at(self, images: Tensor) -> None:
        """Learn how patches of pixels vary, before anything is trained.

        What images hardly ever show, such as noise of single pixels or of colour, is as far from
        them in whitened patches as what they are full of, which a classifier does not see.

        Args:
            images: uint8 (n, c, h, w), in which patches vary.
        """
        rows = F.unfold(images.float() / 255, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(torch.cov(rows.T.double()))
        whitener = vectors / (values.clamp_min(0) + FLOOR).sqrt() @ vectors.T
        self.whitener.copy_(whitener.view_as(self.whitener))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of images in [0, 1], (n, c, h, w), and logits (n, k).

        Patches of pixels, the same whitened, at half steps, two stages of the network and the mean
        of the last: (n, f, ...) each.
        """
        found = [F.pixel_unshuffle(x, PATCH), self._whitened(x)]
        x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        found[-1] = x.mean(dim=(2, 3))
        return found, self.head(found[-1])

    def _whitened(self, x: Tensor) -> Tensor:
        """In float32: it tells apart what is a hundredth of a pixel's range."""
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.whitener, stride=PATCH // 2)


def _layer(n_in: int, n_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]

"""Whitened patches and stages of convolutions: for photographs.

In the manner of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498),
Section 3: a frozen first layer that whitens patches of 2x2 pixels, stages of two convolutions about
a maximum over squares, which begin as the identity, labels that are smoothed, and mirror images by
turns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["WhitenedTrunk", "whitening"]

PATCH = 2  # pixels of a side of what is whitened
AT_ONCE = 2**20  # pixels whose patches are looked at together, and that are in evaluation, at most
NOISE = 3e-5  # variance, of pixels in [0, 1], below which directions are not brought up to 1
BOTTOM = 4  # halve until both sides are at most this
MOMENTUM = 0.4  # of running statistics, whose averages are kept
WIDER = 4  # times as many channels from the second stage on


class WhitenedTrunk(nn.Module):
    """Whitened patches, stages of two convolutions, a maximum over what is left, a linear layer.

    Args:
        shape: channels, height and width of an image, both sides even.
        width: channels of the first stage, at half the image's size; later ones have four times as
            many. Multiples of 32 are fast.
        n_features: of the last layer.
    """

    smoothing = 0.2  # of the labels that it is trained by
    pixels_at_once = AT_ONCE  # in evaluation, at most: its first maps are of the images' full size

    def __init__(self, shape: tuple[int, int, int], width: int, n_features: int) -> None:
        super().__init__()
        c, h, w = shape
        n = 2 * c * PATCH**2
        self.whiten = nn.Conv2d(c, n, PATCH).requires_grad_(False)
        stages: list[nn.Module] = []
        while not stages or max(h, w) > BOTTOM:
            wider = width if not stages else WIDER * width
            stages.append(_stage(n, wider))
            n, h, w = wider, -(-h // 2), -(-w // 2)
        self.stages = nn.ModuleList(stages)
        self.last = nn.Linear(n, n_features)

    def prepare(self, images: Tensor) -> None:
        """Set the first layer by the patches of training images, uint8 (m, c, h, w)."""
        kernels, shifts = whitening(images)
        # Of both signs, since what follows keeps one.
        layer = {
            "weight": torch.cat([kernels, -kernels]),
            "bias": torch.cat([shifts, -shifts]),
        }
        self.whiten.load_state_dict(layer)

    def whitened(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to whitened patches, of both signs, (n, 8 c, h, w)."""
        found: Tensor = self.whiten(_padded(x))
        return found

    def middle(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to the maps (n, f, ...) of all stages but the last."""
        x = F.gelu(self.whitened(x))
        for stage in self.stages[:-1]:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to features (n, f)."""
        x = self.stages[-1](self.middle(x)).amax(dim=(2, 3))
        return F.gelu(self.last(x))


def _padded(x: Tensor) -> Tensor:
    """With the last row and column repeated, so that there are as many patches as pixels."""
    return F.pad(x, (0, 1, 0, 1), mode="replicate")


def whitening(images: Tensor) -> tuple[Tensor, Tensor]:
    """What makes the pixels of patches uncorrelated, of variance 1, largest variance first.

    Args:
        images: uint8 (m, c, h, w).

    Returns:
        Kernels float32 (f, c, 2, 2), f = 4 c, and shifts (f,): convolutions of images in [0, 1].
    """
    c, h, w = images.shape[1:]
    f = c * PATCH**2
    count, total = 0, torch.zeros(f, dtype=torch.float64)
    products = torch.zeros(f, f, dtype=torch.float64)
    for batch in images.cpu().split(max(1, AT_ONCE // (h * w))):
        patches = (
            F.unfold(_padded(batch.double() / 255), PATCH).transpose(0, 1).flatten(1)
        )  # (f, p)
        count += patches.shape[1]
        total += patches.sum(1)
        products += patches @ patches.T
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - mean[:, None] * mean)
    kernels = vectors / (values.clamp_min(0) + NOISE).sqrt()  # (f, f), a direction each column
    kernels = kernels.T.flip(0)
    return kernels.float().view(f, c, PATCH, PATCH), -(kernels @ mean).float()


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    """Two convolutions, between which the size is halved."""
    return nn.Sequential(
        _convolution(n_in, n_out),
        nn.MaxPool2d(2, ceil_mode=True),
        _normalisation(n_out),
        nn.GELU(),
        _convolution(n_out, n_out),
        _normalisation(n_out),
        nn.GELU(),
    )


def _convolution(n_in: int, n_out: int) -> nn.Conv2d:
    """Its first outputs are its inputs, before it is trained."""
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:n_in])
    return layer


def _normalisation(n: int) -> nn.BatchNorm2d:
    """With shifts that are trained, and scales that the next layer makes good."""
    layer = nn.BatchNorm2d(n, momentum=MOMENTUM)
    layer.weight.requires_grad_(False)
    return layer

"""The energy score: what makes draws as various as the images that they might be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["distance", "energy_score", "scales"]

SMALL = 1e-6  # below which a norm's slope would be without bound


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The norm of a difference over channels, (n, c) or (n, c, h, w), averaged over the rest."""
    return ((a - b).float().square().sum(dim=1) + SMALL).sqrt().mean()


def scales(real: Sequence[Tensor]) -> list[float]:
    """The distance between two different images in each kind of features, (n, ...) each."""
    return [distance(x, x.roll(1, dims=0)).item() for x in real]


def energy_score(
    one: Sequence[Tensor], other: Sequence[Tensor], real: Sequence[Tensor], units: Sequence[float]
) -> Tensor:
    """How far two draws lie from an image, less how far they lie from each other, halved.

    Over all that the image might be, it is least where the draws have the distribution of the
    image (Gneiting & Raftery 2007, Section 4.3; as a loss, Shen & Meinshausen, arXiv 2307.00835):
    without the second term the best draw is a median, and the noise is ignored.

    Args:
        one: features of a draw for each image, of several kinds, (n, c) or (n, c, h, w).
        other: of another.
        real: of the images.
        units: a distance of each kind, by which it is divided.
    """
    terms = [
        (0.5 * (distance(a, x) + distance(b, x) - distance(a, b))) / unit
        for a, b, x, unit in zip(one, other, real, units, strict=True)
    ]
    return torch.stack(terms).mean()

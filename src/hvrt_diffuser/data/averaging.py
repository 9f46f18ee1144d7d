"""Images averaged down, where fine detail says nothing or takes too long."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.scratch import scratch

__all__ = ["averaged"]

AT_ONCE = 256  # images


@torch.no_grad()
def averaged(images: Tensor, longest: int) -> Tensor:
    """Images whose longer side has at most so many pixels; smaller ones stay as they are.

    Args:
        images: uint8 (n, c, h, w).
        longest: pixels.

    Returns:
        uint8 (n, c, h', w'), in a tensor of :func:`scratch` unless it is the one that was given.
    """
    h, w = images.shape[2:]
    factor = longest / max(h, w)
    if factor >= 1:
        return images
    size = [max(round(side * factor), 1) for side in (h, w)]
    found = scratch((*images.shape[:2], *size))
    for x, part in zip(images.split(AT_ONCE), found.split(AT_ONCE), strict=True):
        part.copy_(F.interpolate(x.float(), size, mode="area").round())
    return found

"""The one way in which images change size, whatever source they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages

__all__ = [
    "Fit",
    "resize_image",
    "resize_images",
    "resize_labelled",
    "resized_name",
    "to_planes",
]

Fit = Literal["crop", "pad", "stretch"]


def resize_image(image: Image.Image, side: int, fit: Fit = "crop") -> Image.Image:
    """Resize an image of mode L, RGB or I to ``side`` x ``side`` pixels.

    Bilinear with a support that grows with the reduction, which is what antialiases. Pillow's
    fixed-point arithmetic gives the same bytes on every machine, one image at a time or many.

    Args:
        image: of any size.
        side: in pixels.
        fit: what becomes of an image that is no square: its middle square (``crop``), all of it
            between black bars (``pad``), or all of it out of proportion (``stretch``).
    """
    w, h = image.size
    if w == h or fit == "stretch":
        return image.resize((side, side), Image.Resampling.BILINEAR)
    if fit == "crop":
        least = min(w, h)
        left, top = (w - least) / 2, (h - least) / 2
        box = (left, top, left + least, top + least)
        return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    scale = side / max(w, h)
    inner = image.resize(
        (max(1, round(w * scale)), max(1, round(h * scale))), Image.Resampling.BILINEAR
    )
    padded = Image.new(image.mode, (side, side))  # black
    padded.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
    return padded


def to_planes(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of a grey or RGB image, uint8 (c, h, w)."""
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels.reshape(image.height, image.width, -1).transpose(2, 0, 1)


def resize_images(images: Tensor, side: int) -> Tensor:
    """Resize uint8 (n, c, h, w) to uint8 (n, c, side, side), as :func:`resize_image` does."""
    n, c = images.shape[:2]
    resized = np.empty((n, c, side, side), dtype=np.uint8)
    for i, planes in enumerate(images.numpy()):
        pixels = planes[0] if c == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
        resized[i] = to_planes(resize_image(Image.fromarray(pixels), side))
    return torch.from_numpy(resized)


def resized_name(source: str, side: int | None) -> str:
    """The identity of ``source`` once it is resized to ``side`` (None: as it is)."""
    return source if side is None else f"{source} resized to {side}"


def resize_labelled(images: LabelledImages, side: int | None) -> LabelledImages:
    """Images resized to ``side`` x ``side`` pixels (None: as they are), and named so."""
    if side is None:
        return images
    return replace(
        images,
        images=resize_images(images.images, side),
        source=resized_name(images.source, side),
    )

"""Encoded images (PNG, JPEG) into one tensor."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.data.sources.resizing import resize_image, to_planes

__all__ = ["Example", "decode_images"]

TARGET_MODES = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB"}
KINDS = {1: "grey", 3: "RGB"}
PNG_DEPTH = 24  # the byte of a PNG file that holds the bits per channel


@dataclass(frozen=True)
class Example:
    """The first image of a dataset, which every other one must be like.

    Attributes:
        where: the file, or the row, that it was read from.
        shape: channels, height and width.
    """

    where: str
    shape: tuple[int, ...]


def decode_images(
    encoded: Iterable[tuple[str, bytes]],
    n: int,
    resize: int | None,
    example: Example | None = None,
) -> tuple[Tensor, Example]:
    """Decode ``n`` images straight into one tensor.

    Args:
        encoded: where each image stands (for messages) and its PNG or JPEG bytes.
        n: how many there are, at least one.
        resize: the side in pixels to resize each image to, or None.
        example: an image of the split read before, to hold this one to.

    Returns:
        The images, uint8 (n, c, h, w), and the first image of the dataset.

    Raises:
        InputError: bytes that are no PNG or JPEG image, an image that is neither grey nor RGB in
            8 bits, images of two sizes, or grey and RGB images together.
    """
    images = None
    with progress("decoding images", n, "images") as advance:
        for i, (where, data) in enumerate(encoded):
            image = _decode(where, data)
            planes = to_planes(image if resize is None else resize_image(image, resize))
            example = example or Example(where, planes.shape)  # (c, h, w)
            if planes.shape != example.shape:
                raise _unlike(Example(where, planes.shape), example)
            if images is None:
                images = np.empty((n, *planes.shape), dtype=np.uint8)
            images[i] = planes
            advance("")
    if images is None or example is None:
        raise ValueError("decode_images was given no image, expected at least one")
    return torch.from_numpy(images), example


def _decode(where: str, data: bytes) -> Image.Image:
    """One image in mode L or RGB."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        image.load()
    except UnidentifiedImageError as error:
        raise InputError(
            f"{where} ({len(data)} bytes) is no image, expected PNG or JPEG: remove or replace it"
        ) from error
    except (  # what Pillow's decoders raise on damaged bytes
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{where} ({len(data)} bytes) cannot be decoded ({reason}), expected a whole PNG or "
            "JPEG image: replace it"
        ) from error
    found = image.mode
    if "transparency" in image.info:
        found += " with transparency"
    elif image.format == "PNG" and data[PNG_DEPTH] == 16:  # Pillow would drop the lower 8 bits
        found += " with 16 bits a channel"
    if found not in TARGET_MODES:
        raise InputError(
            f"{where} is an image of mode {found}, expected 1, L, P or RGB in 8 bits: convert it "
            "to grey or RGB"
        )
    return image.convert(TARGET_MODES[found])


def _unlike(image: Example, example: Example) -> InputError:
    """The error for an image that is not like the first one."""
    (c, h, w), (c_0, h_0, w_0) = image.shape, example.shape
    if c != c_0:
        return InputError(
            f"{image.where} is {KINDS[c]} and {example.where} is {KINDS[c_0]}, expected one kind "
            "in a dataset: convert all images to grey or all to RGB"
        )
    return InputError(
        f"{image.where} is {w}x{h} pixels and {example.where} is {w_0}x{h_0}, expected one size in "
        "a dataset: give resize, a side in pixels"
    )

"""One encoded image into pixels, as an image viewer shows it."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hvrt_diffuser.common.machine import free_memory

__all__ = ["DEEP", "UnreadableError", "decode", "has_colour", "is_image"]

Image.init()
WANTED = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "ICO")
FORMATS = tuple(name for name in WANTED if name in Image.OPEN)  # AVIF came with Pillow 11.3

GROUND = "white"  # below transparent pixels
GREY = ("1", "L", "LA", "La")
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
PNG_DEPTH = 24  # the byte of a PNG file that holds the bits per channel
MOST = Image.MAX_IMAGE_PIXELS or 0  # Pillow refuses twice as many
LARGE = 10**7  # pixels, from which on it is asked whether a picture fits into memory
UPRIGHT = "turned upright by their EXIF orientation"
TRANSPARENT = f"transparent pixels put on {GROUND}"
CMYK = "converted from CMYK"
DEEP_RGB = "colours of 16 bits a channel, of which the upper 8 were kept"
DEEP = "16-bit grey"


class UnreadableError(Exception):
    """An image that cannot be used; the message says why, after the image's name."""


def is_image(path: str) -> bool:
    """Whether a file begins as one of the formats that are read."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return False


def decode(data: bytes) -> tuple[Image.Image, bool, list[str]]:
    """Decode an image: upright, its first picture, and on a ground.

    Args:
        data: a file's bytes, which alone say what format they are of.

    Returns:
        The image in mode L, RGB or I (grey of 16 bits, 0 to 65,535); whether it is stored as grey;
        and what was done to it.

    Raises:
        UnreadableError: bytes that are no image, or a damaged one, or one of numbers that have no
            known range.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image)
        turned = image.format == "TIFF" and _is_turned(image)  # Pillow turns it on loading
        image.load()
        done = [UPRIGHT] if turned or _is_turned(image) else []
        if image.mode == "F":
            raise UnreadableError("holds floating-point numbers: convert it to 8 or 16 bits")
        if image.format == "PNG" and data[PNG_DEPTH] == 16 and image.mode not in DEEP_MODES:
            done.append(DEEP_RGB)
        if done and done[0] == UPRIGHT and not turned:
            image = ImageOps.exif_transpose(image)
        return _plain(image, done)
    except UnidentifiedImageError as error:
        raise UnreadableError(f"({len(data)} bytes) is no image") from error
    except Image.DecompressionBombError as error:
        raise UnreadableError(
            f"({len(data)} bytes) has more than {2 * MOST // 10**6} million pixels: make it smaller"
        ) from error
    except (  # what Pillow's decoders raise on damaged bytes
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        struct.error,
    ) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UnreadableError(f"({len(data)} bytes) cannot be decoded ({reason})") from error


def _check_size(image: Image.Image) -> None:
    """Before the pixels are decoded."""
    n = image.width * image.height
    free = free_memory() if n > LARGE else None
    if free is not None and 8 * n / 1e6 > free:  # once as they are stored, once as they are used
        raise UnreadableError(
            f"is of {image.width}x{image.height} pixels, which take {8 * n / 1e9:.1f} GB, and "
            f"{free / 1e3:.1f} GB of memory are free"
        )


def _is_turned(image: Image.Image) -> bool:
    if image.format == "PNG" and not image.info.keys() & {"exif", "Raw profile type exif", "xmp"}:
        return False  # the common case, without a search
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # a damaged tag is no reason to refuse a picture
        return False


def _plain(image: Image.Image, done: list[str]) -> tuple[Image.Image, bool, list[str]]:
    """The image in one of the three modes."""
    if image.mode in DEEP_MODES:
        return Image.fromarray(_deep(image).astype(np.int32)), True, [*done, DEEP]
    grey = image.mode in GREY
    unsaid = image.mode == "P" or image.format == "WEBP"  # which have no grey of their own
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            ground = Image.new("RGBA", image.size, GROUND)
            ground.alpha_composite(image)
            image = ground
            done.append(TRANSPARENT)
    elif image.mode == "CMYK":
        done.append(CMYK)
    if image.mode in ("1", "L"):
        return image.convert("L"), True, done
    image = image.convert("RGB")
    if unsaid:
        grey = not has_colour(np.asarray(image))
    return (image.getchannel(0) if grey else image), grey, done


def _deep(image: Image.Image) -> npt.NDArray[np.int64]:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise UnreadableError(
            f"holds values from {values.min()} to {values.max()}, expected 0 to 65,535 at most: "
            "convert it to 8 or 16 bits"
        )
    return values


def has_colour(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether any pixel of an RGB image, (h, w, 3), is not grey."""
    red = pixels[..., 0]
    return bool((pixels[..., 1] != red).any() or (pixels[..., 2] != red).any())

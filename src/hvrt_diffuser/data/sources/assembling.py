"""The images of a source, one by one, into one tensor: one size, one number of channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.scratch import blocks, scratch
from hvrt_diffuser.data.sources.decoding import DEEP, UnreadableError, decode, has_colour
from hvrt_diffuser.data.sources.notes import Note, Tally, listed
from hvrt_diffuser.data.sources.resizing import Fit, resize_image, to_planes

__all__ = ["Channels", "Encoded", "assemble"]

Channels = Literal["auto", "grey", "rgb"]
Encoded = tuple[str, bytes | Image.Image | UnreadableError]
"""An image's name for messages; and its file's bytes, its pixels, or why there are none."""

STEP, LARGEST = 4, 64  # sides that every autoencoder takes, and that train in minutes
FITTED = {"crop": "cropped", "pad": "padded with black", "stretch": "stretched"}


def assemble(
    source: str,
    encoded: Iterable[Encoded],
    n: int,
    *,
    resize: int | None,
    fit: Fit,
    channels: Channels,
) -> tuple[Tensor, tuple[Note, ...]]:
    """Decode ``n`` images straight into one tensor, a mapped file where it is large.

    Grey of more than 8 bits is divided alike in all images, by the bits that the largest value
    among them needs. Channels are those of the images: grey where all are; RGB where all are
    stored so; of both, RGB as soon as one shows a colour.

    Args:
        source: what to call them in an error.
        encoded: each image.
        n: how many there are, at least one.
        resize: the side in pixels to resize each image to, or None.
        fit: how those that are no squares are resized.
        channels: ``auto``, or what all are converted to.

    Returns:
        The images, uint8 (n, c, h, w), and what was done to them.

    Raises:
        InputError: images that cannot be read, or of several sizes without ``resize``, all of them
            at once; or more pixels than there is room for.
    """
    stack = _Stack(source, n, resize, fit, channels)
    with progress("decoding images", n, "images") as advance:
        for where, data in encoded:
            stack.add(where, data)
            advance("")
    if stack.n_seen != n:
        raise ValueError(f"assemble was given {stack.n_seen} images, expected {n}")
    return stack.finished()


class _Stack:
    """Rows of pixels, grey until an image shows a colour."""

    def __init__(
        self, source: str, n: int, resize: int | None, fit: Fit, channels: Channels
    ) -> None:
        self.source, self.n, self.n_seen = source, n, 0
        self.resize, self.fit, self.channels = resize, fit, channels
        self.rows: npt.NDArray[np.uint8] | None = None
        self.deep: npt.NDArray[Any] | None = None  # uint16 (n, h, w), once there is such an image
        self.is_deep = np.zeros(n, dtype=bool)
        self.deepest = 0
        self.sizes: dict[tuple[int, int], tuple[str, int]] = {}  # the first of each, how many
        self.stored = {"grey": Tally(), "rgb": Tally()}
        self.done: dict[str, Tally] = defaultdict(Tally)
        self.unreadable: list[str] = []

    def add(self, where: str, data: bytes | Image.Image | UnreadableError) -> None:
        row, self.n_seen = self.n_seen, self.n_seen + 1
        try:
            if isinstance(data, UnreadableError):
                raise data
            done: list[str] = []
            if isinstance(data, Image.Image):
                image, grey = data, data.mode != "RGB"
            else:
                image, grey, done = decode(data)
        except UnreadableError as error:
            self.unreadable.append(f"{where} {error}")
            return
        for what in done:
            self.done[what].add(where)
        self.stored["grey" if grey else "rgb"].add(where)
        first, count = self.sizes.get(image.size, (where, 0))
        self.sizes[image.size] = first, count + 1
        if len(self.sizes) > 1 and self.resize is None:
            self.rows = None  # it ends with an error: only what else is wrong is looked for
            return
        if self.channels == "grey" and image.mode == "RGB":
            image = image.convert("L")
        if image.mode == "I":
            self.deepest = max(self.deepest, int(np.asarray(image).max()))
        self._put(row, image if self.resize is None else resize_image(image, self.resize, self.fit))

    def _put(self, row: int, image: Image.Image) -> None:
        if self.rows is None:
            self.rows = self._empty(1, image)
        if image.mode == "I":  # until all are there, nobody knows how many bits they have
            if self.deep is None:
                shape = (self.n, image.height, 2 * image.width)  # two bytes a pixel
                self.deep = self._scratch(shape, image.size).view(np.uint16)
            self.deep[row] = np.asarray(image)
            self.is_deep[row] = True
            return
        if self.rows.shape[1] == 1 and image.mode == "RGB" and has_colour(np.asarray(image)):
            grey, self.rows = self.rows, self._empty(3, image)
            for part in blocks(row):
                self.rows[part] = grey[part]
        planes = to_planes(image)
        self.rows[row] = planes if self.rows.shape[1] == 3 else planes[:1]

    def _empty(self, c: int, image: Image.Image) -> npt.NDArray[np.uint8]:
        return self._scratch((self.n, c, image.height, image.width), image.size)

    def _scratch(self, shape: tuple[int, ...], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        try:
            found: npt.NDArray[np.uint8] = scratch(shape).numpy()
        except InputError as error:
            raise InputError(
                f"{self.source} has {self.n:,} images of {_size(size)} pixels: {error}, or give "
                f"{_sides(LARGEST)}"
            ) from error
        return found

    def finished(self) -> tuple[Tensor, tuple[Note, ...]]:
        self._refuse()
        assert self.rows is not None, "there is a readable image"
        bits = max(8, self.deepest.bit_length())
        if self.deep is not None:
            for row in np.flatnonzero(self.is_deep):
                scaled = self.deep[row].astype(np.uint32) * 255 + (2**bits - 1) // 2  # rounded
                self.rows[row] = (scaled // (2**bits - 1)).astype(np.uint8)
        found = self.rows.shape[1]
        if self.channels == "rgb" or (self.channels == "auto" and not self.stored["grey"].n):
            found = 3
        all_grey = found == 3 and self.rows.shape[1] == 1
        if all_grey:
            n, _, h, w = self.rows.shape
            grey, self.rows = self.rows, self._scratch((n, 3, h, w), (w, h))
            for part in blocks(n):
                self.rows[part] = grey[part]
        return torch.from_numpy(self.rows), tuple(self._notes(bits, all_grey))

    def _notes(self, bits: int, all_grey: bool) -> Iterable[Note]:
        deep = f"{DEEP} scaled to 8 bits as {bits} bits, which their largest value needs"
        for what, tally in sorted(self.done.items()):
            yield tally.note(deep if what == DEEP else what)
        assert self.rows is not None, "finished"
        colour = self.rows.shape[1] == 3
        other = self.stored["grey" if colour else "rgb"]
        if other.n and colour:
            yield other.note("grey repeated as red, green and blue")
        elif other.n and self.channels == "grey":
            yield other.note("colours taken as grey")
        elif other.n:
            yield other.note("stored as RGB and all grey, taken as grey like the others")
        elif all_grey and self.channels == "auto":
            yield Note("all are stored as RGB and all grey: channels=grey makes them a third")
        if self.resize is not None and set(self.sizes) != {(self.resize, self.resize)}:
            small, large = self._extremes()
            square = all(w == h for w, h in self.sizes)
            how = "resized" if square else FITTED[self.fit]
            of = _size(small) if small == large else f"from {_size(small)} to {_size(large)}"
            yield Note(f"sizes: {of} pixels, {how} to {self.resize}x{self.resize}")

    def _extremes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        order = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        return order[0], order[-1]

    def _refuse(self) -> None:
        """Everything that is wrong, in one sentence."""
        wrong, mend = [], []
        if self.unreadable:
            wrong.append(
                f"{len(self.unreadable)} of {self.n} images cannot be read "
                f"({listed(self.unreadable)}), expected whole images of a format that Pillow reads"
            )
            mend.append("remove or replace " + ("them" if len(self.unreadable) > 1 else "it"))
        if len(self.sizes) > 1 and self.resize is None:
            (small, large), sides = self._extremes(), []
            for size, (_, count) in self.sizes.items():
                sides += [min(size)] * count
            wrong.append(
                f"its images are of {len(self.sizes)} sizes, from {_size(small)} pixels "
                f"({self.sizes[small][0]}) to {_size(large)} ({self.sizes[large][0]}), expected one"
            )
            side = min(LARGEST, max(STEP, STEP * round(median(sides) / STEP)))
            mend.append(f"give {_sides(side)}, which cuts off what is no square unless fit is pad")
        if wrong:
            raise InputError(f"{self.source}: {'; and '.join(wrong)}: {'; and '.join(mend)}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _sides(side: int) -> str:
    return f"resize, such as {side} (--params dataset.resize={side} of a run)"

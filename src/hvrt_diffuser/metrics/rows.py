"""Rows of pixels that become numbers a block at a time, where all of them would be too many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics.samples import Array, Float64, check_sample

__all__ = ["PixelRows", "blocks", "check_rows", "chosen"]

AT_ONCE = 2**23  # float64 of a block: 64 MiB


class PixelRows:
    """Images as rows of pixels in [0, 1]: the numbers of a sample, in an eighth of its memory.

    Args:
        images: uint8 (n, c, h, w), which may lie in a mapped file.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images.flatten(1)

    @property
    def shape(self) -> tuple[int, int]:
        """Images and pixels."""
        n, d = self.images.shape
        return n, d

    @property
    def size(self) -> int:
        """Numbers of all rows."""
        return self.images.numel()

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """These rows, float32 (m, d), as the extractor ``pixels`` has them."""
        found: NDArray[np.float32] = self.images[rows].numpy().astype(np.float32)
        return found / np.float32(255)

    def some(self, rows: NDArray[np.int64]) -> PixelRows:
        """These rows, as images still."""
        return PixelRows(self.images[rows])


def check_rows(a: Array | PixelRows, b: Array | PixelRows) -> None:
    """Check two samples (n, d) and (m, d), as :func:`check_samples` does, and copy neither.

    Raises:
        InputError: dimensions that differ, an empty sample, or values that are not finite.
    """
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1] or 0 in (a.size, b.size):
        raise InputError(
            f"samples of shapes {a.shape} and {b.shape} were given, expected (n, d) and (m, d), "
            "neither of them empty: take both from one extractor"
        )
    for rows in (a, b):
        if not isinstance(rows, PixelRows):
            for _, block in blocks(rows):
                check_sample(block)


def blocks(rows: Array | PixelRows) -> Iterator[tuple[int, Float64]]:
    """Where each block starts, and its rows in float64, at most 64 MiB of them."""
    step = max(1, AT_ONCE // rows.shape[1])
    for start in range(0, len(rows), step):
        yield start, chosen(rows, slice(start, start + step))


def chosen(rows: Array | PixelRows, at: NDArray[np.int64] | slice) -> Float64:
    """Some rows in float64."""
    found = rows.take(at) if isinstance(rows, PixelRows) else rows[at]
    return found.astype(np.float64)

"""Images that are made on the way and too many for memory: in a file that nobody else sees."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError

__all__ = ["blocks", "scratch", "scratch_numbers", "take_rows"]

SMALL = 2**26  # bytes, up to which memory is simpler
AT_ONCE = 1024  # rows


def scratch(shape: tuple[int, ...]) -> Tensor:
    """An uint8 tensor to be filled; above 64 MiB in a mapped file, which goes with it.

    The file lies where temporary ones do (``TMPDIR``) and is removed before anything is written:
    a killed process leaves none.

    Raises:
        InputError: there is no room for it.
    """
    n = math.prod(shape)
    if n <= SMALL:
        return torch.empty(shape, dtype=torch.uint8)
    with tempfile.NamedTemporaryFile(prefix="hvrt_diffuser.") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has none; elsewhere ...
                os.posix_fallocate(file.fileno(), 0, n)  # ... a full disk ends no process later
        except OSError as error:
            raise InputError(
                f"{n / 1e9:.1f} GB of images did not fit into {tempfile.gettempdir()} "
                f"({error.strerror}), expected room for them: free some, or set TMPDIR to a folder "
                "that has it"
            ) from error
        return torch.from_file(file.name, shared=True, size=n, dtype=torch.uint8).view(shape)


def scratch_numbers(n: int, d: int) -> Tensor:
    """A float32 tensor (n, d) to be filled, as of :func:`scratch`."""
    return scratch((n, 4 * d)).view(torch.float32)


def take_rows(images: Tensor, rows: Tensor) -> Tensor:
    """Some of the images uint8 (n, c, h, w), in a tensor of :func:`scratch`."""
    found = scratch((len(rows), *images.shape[1:]))
    for part in blocks(len(rows)):
        found[part] = images[rows[part]]
    return found


def blocks(n: int) -> Iterator[slice]:
    """Slices of 1,024 of n rows, one after the other."""
    for start in range(0, n, AT_ONCE):
        yield slice(start, min(n, start + AT_ONCE))

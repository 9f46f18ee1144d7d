"""The IDX format of MNIST and its relatives.

A file is two zero bytes, a type byte (8 is uint8), the number of dimensions, each dimension as a
big-endian 32-bit integer, and the values. See http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError

__all__ = ["read_idx"]

UINT8 = 8


def read_idx(path: Path, ndim: int) -> Tensor:
    """Read an IDX file of uint8 values, gzipped where the name ends in ``.gz``.

    Args:
        path: the file.
        ndim: the dimensions expected: 3 for images (n, h, w), 1 for labels (n,).

    Returns:
        The values, uint8, of the shape that the file states.

    Raises:
        InputError: a broken gzip file, a file that is no IDX file of ``ndim`` dimensions, or one
            that is shorter or longer than it states.
    """
    data = _read_bytes(path)
    magic = bytes((0, 0, UINT8, ndim))
    if data[:4] != magic:
        raise InputError(
            f"{path} begins with the bytes {data[:4].hex(' ') or '(none)'}, expected "
            f"{magic.hex(' ')}, an IDX file of uint8 values in {ndim} dimension(s): put the right "
            "file there"
        )
    start = 4 + 4 * ndim
    if len(data) < start:
        raise _wrong_length(path, len(data), f"at least {start}")
    shape = struct.unpack(f">{ndim}I", data[4:start])
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise _wrong_length(path, len(data), str(expected))
    if expected == start:  # torch reads no empty buffer
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(data, dtype=torch.uint8, offset=start).view(shape)


def _read_bytes(path: Path) -> bytearray:
    """The bytes of a file, unpacked where its name ends in ``.gz``, in a writable buffer."""
    if path.suffix != ".gz":
        return bytearray(path.read_bytes())
    try:
        with gzip.open(path) as file:
            return bytearray(file.read())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) is a broken gzip file ({error}), expected a "
            "whole one: delete it and fetch it again"
        ) from error


def _wrong_length(path: Path, found: int, expected: str) -> InputError:
    return InputError(
        f"{path} holds {found} bytes where its header asks for {expected}: delete it and fetch it "
        "again"
    )

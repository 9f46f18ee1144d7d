"""A checksum of all of a file within the file, for formats that check a part of it at most."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from hvrt_diffuser.common.errors import InputError

__all__ = ["SEAL", "SEAL_KEY", "check_seal", "seal"]

SEAL_KEY = "hvrt_diffuser_seal"
PREFIX = b"sha256 of the file with zeros here: "
DIGITS = 2 * hashlib.sha256().digest_size
SEAL = PREFIX.decode() + DIGITS * "0"  # what a file has to hold, as plain text, to be sealed


def seal(path: str | Path) -> None:
    """Write the checksum in place of the zeros of the last :data:`SEAL` in a file."""
    with (
        Path(path).open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as data,
    ):
        start = data.rfind(SEAL.encode()) + len(PREFIX)
        data[start : start + DIGITS] = _digest(data, start)


def check_seal(path: str | Path) -> None:
    """Check that a file is as it was when it was sealed, to the last bit.

    Raises:
        InputError: it is not, or was never sealed.
        OSError: there is no such file.
    """
    with Path(path).open("rb") as file:
        found = b""
        if Path(path).stat().st_size:  # nothing cannot be mapped
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                start = data.rfind(PREFIX) + len(PREFIX)
                if start >= len(PREFIX) and data[start : start + DIGITS] == _digest(data, start):
                    return
                found = data[start : start + DIGITS] if start >= len(PREFIX) else b""
    what = "was changed or damaged" if found else "is cut short, of an earlier version or foreign"
    raise InputError(
        f"{path} {what}, expected a file with a checksum of its contents: move it away and run the "
        "pipeline that writes it, or copy it again"
    )


def _digest(data: mmap.mmap, start: int) -> bytes:
    """Of all bytes, with zeros in place of the digits from ``start`` on."""
    view = memoryview(data)
    try:
        digest = hashlib.sha256(view[:start])
        digest.update(DIGITS * b"0")
        digest.update(view[start + DIGITS :])
    finally:
        view.release()
    return digest.hexdigest().encode()

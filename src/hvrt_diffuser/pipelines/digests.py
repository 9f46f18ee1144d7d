"""What the file or folder of a dataset holds, as a digest."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from hvrt_diffuser.catalog import CheckpointDataset, ImageSourceDataset, PathDataset

__all__ = ["content_digest", "lasts"]

PASSING = (CheckpointDataset, PathDataset)  # of work that is under way
CHUNK = 2**20  # bytes


def lasts(dataset: Any) -> bool:
    """Whether a dataset is a file, a folder or a source that is there after the run."""
    return isinstance(dataset, AbstractDataset) and (
        isinstance(dataset, ImageSourceDataset)
        or (hasattr(dataset, "_filepath") and not isinstance(dataset, PASSING))
    )


def content_digest(dataset: Any) -> str | None:
    """SHA-256 of the file or folder of a dataset, None where there is none.

    Of a folder of real images it is that of names, sizes and times of change: there may be many.
    """
    if not lasts(dataset):
        return None
    if isinstance(dataset, ImageSourceDataset):
        return dataset.fingerprint()
    path = Path(str(dataset._filepath))
    if path.is_file():
        stat = path.stat()
        return _of_file(path, stat.st_mtime_ns, stat.st_size)
    if not path.is_dir():
        return None
    found = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            stat = each.stat()
            found.update(f"{each.relative_to(path)}".encode(errors="surrogateescape"))
            found.update(_of_file(each, stat.st_mtime_ns, stat.st_size).encode())
    return found.hexdigest()


@cache
def _of_file(path: Path, changed: int, size: int) -> str:
    """Looked at once, unless it has changed since."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            found.update(data)
    return found.hexdigest()

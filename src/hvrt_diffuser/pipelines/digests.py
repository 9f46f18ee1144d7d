"""What the file or folder of a dataset holds, as a digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from hvrt_diffuser.catalog import CheckpointDataset, ImageSourceDataset, PathDataset
from hvrt_diffuser.common.files import hash_file

__all__ = ["content_digest", "lasts"]

PASSING = (CheckpointDataset, PathDataset)  # of work that is under way


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
        return hash_file(path)
    if not path.is_dir():
        return None
    found = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            found.update(f"{each.relative_to(path)}".encode(errors="surrogateescape"))
            found.update(hash_file(each).encode())
    return found.hexdigest()

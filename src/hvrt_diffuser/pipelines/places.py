"""Where outputs will lie: a folder is in no file's place, and a file in no folder's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hvrt_diffuser.catalog import CheckpointDataset, ExportDataset, PathDataset
from hvrt_diffuser.common.errors import InputError

__all__ = ["check_places"]


def check_places(catalog: Any, names: Iterable[str]) -> None:
    """Look at what lies where a run will write, before it has something to lose.

    Args:
        catalog: of the run.
        names: of the datasets that its nodes make, or share with others.

    Raises:
        InputError: a file is in the way of a folder, or a folder in the way of a file.
    """
    for name in sorted(names):
        dataset = catalog.get(name)
        if not hasattr(dataset, "_filepath"):
            continue
        path = Path(str(dataset._filepath))
        file_above = next((p for p in path.parents if p.exists() and not p.is_dir()), None)
        if file_above is not None:
            raise InputError(
                f"{file_above} is a file, where {name} needs a folder: move it away, and run again"
            )
        folder = isinstance(dataset, (PathDataset, ExportDataset))
        if folder and path.exists() and not path.is_dir():
            raise InputError(
                f"{path} is a file, where {name} needs a folder: move it away, and run again"
            )
        if not folder and path.is_dir():
            what = "keeps the state of a training" if isinstance(dataset, CheckpointDataset) else ""
            raise InputError(
                f"{path} is a folder, where {name} {what or 'is written as a file'}: move it away, "
                "and run again"
            )

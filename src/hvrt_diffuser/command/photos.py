"""How images that lie somewhere are to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hvrt_diffuser.common.errors import InputError

__all__ = ["source_of"]


def source_of(root: Path) -> dict[str, Any]:
    """The name of the source that reads them, and its ``root``.

    Raises:
        InputError: nothing is there.
    """
    root = root.expanduser()
    if not root.exists():
        raise InputError(
            f"{root} does not exist, expected a folder with a folder per class, or parquet files: "
            "correct the path"
        )
    parquet = root.is_file() or any(root.glob("*.parquet")) or any(root.glob("data/*.parquet"))
    return {"source": "parquet" if parquet else "image_folder", "root": root}

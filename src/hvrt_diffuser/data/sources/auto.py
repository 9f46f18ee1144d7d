"""Whatever a path holds: class folders, parquet files, or an npz file."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from pydantic import Field

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.base import SOURCES, FileSource, Root, read_images
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["Auto", "source_of"]

PARQUET = ("*.parquet", "*/*.parquet", "*/*/*.parquet")  # as deep as the Hub's own layout


@SOURCES.register("auto")
class Auto(FileSource):
    """Class folders, parquet files or an npz file, whichever the path holds."""

    root: Root = Field(
        description="what image_folder, parquet or npz reads: which of them is told by the files"
    )
    image: str | None = Field(None, description="as for parquet")
    label: str | None = Field(None, description="as for image_folder or parquet")
    group: str | None = Field(None, description="as for image_folder or parquet")

    def read(self) -> ImageSplits:
        """What that source reads.

        Raises:
            InputError: nothing of the kind is there, an option has no meaning for what is, or as
                that source raises.
        """
        return read_images(source_of(self.root), **self.model_dump(exclude_defaults=True))


def source_of(root: Path) -> str:
    """The name of the source that reads a path: ``parquet``, ``npz`` or ``image_folder``.

    Raises:
        InputError: the path does not exist, or is a file of another kind.
    """
    if not root.exists():
        raise InputError(
            f"{root} does not exist, expected a folder with a folder of images per class, parquet "
            "files or an npz file: correct the path"
        )
    if root.is_file():
        if root.suffix.lower() == ".npz":
            return "npz"
        with root.open("rb") as file:
            if file.read(4) == b"PAR1" or root.suffix.lower() == ".parquet":
                return "parquet"
        raise InputError(
            f"{root} is a file, expected a parquet or npz file or a folder: unpack an archive, and "
            "give the folder"
        )
    if any(True for _ in chain.from_iterable(map(root.glob, PARQUET))):
        return "parquet"
    return "npz" if any(root.glob("*.npz")) else "image_folder"

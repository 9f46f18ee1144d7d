"""What every image source is, and the one door to all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor

from hvrt_diffuser.common.bounds import Side
from hvrt_diffuser.common.names import readable
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import Registry
from hvrt_diffuser.data.sources.assembling import Channels, Encoded, assemble
from hvrt_diffuser.data.sources.notes import Note
from hvrt_diffuser.data.sources.resizing import Fit
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["SOURCES", "FileSource", "ImageSource", "Root", "folder_name", "read_images"]


def _not_empty(root: Any) -> Any:
    if root == "":  # which would be the working directory
        raise ValueError("expected a path: correct it")
    return root


Root = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(Path.expanduser)]
"""A folder or file to read; ``~`` is the home folder."""


class ImageSource(Options):
    """Labelled images of one place; a subclass adds what it has to know."""

    resize: Side | None = Field(
        None,
        description="side in pixels of the square that every image is resized to, antialiased; "
        "without one the images stay as they are",
    )

    def read(self) -> ImageSplits:
        """The images, for training and, where there are some of their own, for testing.

        Raises:
            InputError: files that are missing, broken or do not fit together.
        """
        raise NotImplementedError


class FileSource(ImageSource):
    """Images of files or rows, which may differ in size and colour."""

    fit: Fit = Field(
        "crop",
        description="how resize treats an image that is no square: its middle square (crop), all "
        "of it between black bars (pad), or all of it out of proportion (stretch)",
    )
    channels: Channels = Field(
        "auto",
        description="grey or rgb converts all images; auto is grey where all are stored as grey, "
        "rgb where all are stored as RGB, and of both rgb as soon as one shows a colour",
    )

    def stacked(
        self, source: str, encoded: Iterable[Encoded], n: int
    ) -> tuple[Tensor, tuple[Note, ...]]:
        """The pixels of ``n`` images as these options want them, and notes on what was done."""
        return assemble(
            source, encoded, n, resize=self.resize, fit=self.fit, channels=self.channels
        )


SOURCES: Registry[type[ImageSource]] = Registry(
    "image source", "hvrt_diffuser.sources", ("read", "model_fields")
)


def read_images(source: str, **arguments: Any) -> ImageSplits:
    """Read the labelled images of a source.

    Args:
        source: a name in :data:`SOURCES`, that of an entry point ``hvrt_diffuser.sources``, or
            the path of a class, ``package.module:Class``.
        arguments: the fields of the source.

    Returns:
        Images uint8 (n, c, h, w) with labels int64 (n,), for training and, where the source brings
        them, for testing.

    Raises:
        InputError: an unknown source, an argument that is missing, wrong or has no meaning for the
            source, or files that are missing, broken or do not fit together.
    """
    found: ImageSplits = SOURCES.make(source, arguments).read()
    return found


def folder_name(root: Path) -> str:
    """The last name of ``root``, also where it is written as ``.`` or ``..``."""
    return readable(root.name if root.name not in ("", "..") else root.resolve().name)

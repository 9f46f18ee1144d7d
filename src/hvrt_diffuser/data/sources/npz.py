"""Arrays of images and labels in one file, as MedMNIST has them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.assembling import Encoded
from hvrt_diffuser.data.sources.base import SOURCES, FileSource, Root, folder_name
from hvrt_diffuser.data.sources.labels import number_labels
from hvrt_diffuser.data.sources.notes import Note, listed
from hvrt_diffuser.data.sources.resizing import resized_name
from hvrt_diffuser.data.sources.splits import ImageSplits, identified

__all__ = ["Npz"]

NAMES = {  # of MedMNIST, of Keras, and of one set of images
    "train": (("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels")),
    "validation": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
Pixels = npt.NDArray[np.uint8]


@SOURCES.register("npz")
class Npz(FileSource):
    """Arrays of images and labels in an npz file, as MedMNIST and Keras have them."""

    root: Root = Field(
        description="an npz file with train_images and train_labels, and perhaps those of test and "
        "val, or a folder that holds one such file"
    )

    def read(self) -> ImageSplits:
        """The splits; validation images are the test images where there are no others.

        Raises:
            InputError: a damaged file, arrays that are missing or of another shape or type, or
                labels that are no classes.
        """
        path, notes = self._file(), []
        splits = _splits(_arrays(path))
        if "train" not in splits:
            raise InputError(
                f"{path} holds no training images and labels, expected train_images and "
                "train_labels, as in MedMNIST: rename its arrays"
            )
        given = next((name for name in ("test", "validation") if name in splits), None)
        if "validation" in splits:
            taken = "taken as the test images" if given == "validation" else "left out"
            notes.append(Note(f"validation images {taken}", len(splits["validation"][0])))
        parts = [splits[name] for name in ("train", given) if name is not None]
        for images, labels in parts:
            _check(path, images, labels)
        found = number_labels(
            parts[0][1].reshape(-1).tolist(),
            parts[1][1].reshape(-1).tolist() if given else None,
            None,
            str(path),
        )
        numbers = [found.train] if found.test is None else [found.train, found.test]
        parts = parts[: len(numbers)]
        source = f"npz {folder_name(path)}"
        counts = [len(images) for images, _ in parts]
        stacked, more = self.stacked(source, _pictures(parts), sum(counts))
        source = resized_name(source, self.resize)
        read = [
            LabelledImages(images, own, found.class_names, source)
            for images, own in zip(stacked.split(counts), numbers, strict=True)
        ]
        test = read[1] if len(read) > 1 else None
        return identified(ImageSplits(read[0], test, (*notes, *found.notes, *more)))

    def _file(self) -> Path:
        files = [self.root] if self.root.is_file() else sorted(self.root.glob("*.npz"))
        if len(files) != 1:
            raise InputError(
                f"{self.root} holds {listed([file.name for file in files]) or 'no npz file'}, "
                "expected one npz file: give it as root"
            )
        return files[0]


def _arrays(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read, expected a whole npz file: "
            "fetch it again"
        )
    try:
        with np.load(path) as file:  # which opens no pickle
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{path} cannot be read ({reason}), expected an npz file of numbers: fetch it again"
        ) from error


def _splits(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        split: (arrays[images], arrays[labels])
        for split, names in NAMES.items()
        for images, labels in reversed(names)
        if images in arrays and labels in arrays
    }


def _check(path: Path, images: Any, labels: Any) -> None:
    grey_or_rgb = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if not grey_or_rgb or images.dtype != np.uint8:
        raise InputError(
            f"{path} holds images of shape {images.shape} and type {images.dtype}, expected uint8 "
            "(n, height, width) or (n, height, width, 3): convert them"
        )
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise InputError(
            f"{path} holds labels of shape {labels.shape} for {len(images)} images, expected one "
            "class per image: give a set with one label each"
        )


def _pictures(parts: list[tuple[Pixels, Any]]) -> Iterator[Encoded]:
    for images, _ in parts:
        for row, pixels in enumerate(images):
            yield (
                f"row {row}",
                Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels),
            )

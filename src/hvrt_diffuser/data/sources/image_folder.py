"""Images in a folder per class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import Field, field_validator

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource, Root, folder_name
from hvrt_diffuser.data.sources.decoding import Example, decode_images
from hvrt_diffuser.data.sources.groups import grouped
from hvrt_diffuser.data.sources.resizing import resized_name
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["ImageFolder"]

EXTENSIONS = (".png", ".jpg", ".jpeg")
LISTED = 5  # as many of a long list of names as a sentence bears


@SOURCES.register("image_folder")
class ImageFolder(ImageSource):
    """PNG and JPEG files that lie in a folder per class; class i is the i-th name in order.

    Names that begin with a dot are ignored, and nothing else.
    """

    root: Root = Field(
        description="a folder that holds a folder per class, or exactly the folders train and "
        "test, which then hold the same class folders each"
    )
    group: str | None = Field(
        None,
        description="a regular expression found in every file's name, whose first group is the key "
        "of images that belong together (patient, product, burst) and are never split; without one "
        "each image stands alone",
    )

    @field_validator("group")
    @classmethod
    def _has_a_group(cls, group: str | None) -> str | None:
        try:
            if group is not None and re.compile(group).groups < 1:
                raise ValueError(r"expected a group in brackets, such as ^(\w+?)_: add one")
        except re.error as error:
            raise ValueError(f"no regular expression ({error}): correct it") from error
        return group

    def read(self) -> ImageSplits:
        """The images of each class.

        Raises:
            InputError: no class, a class without images, anything that is no image, images that
                are not alike, or a file in whose name ``group`` finds nothing.
        """
        root = self.root
        if not root.is_dir():
            raise InputError(
                f"{root} is no folder, expected one that holds a folder per class: give that as "
                "root"
            )
        source = resized_name(f"image_folder {folder_name(root)}", self.resize)
        if [path.name for path in _visible(root)] != ["test", "train"]:
            files = _classes(root)
            return self._grouped(
                ImageSplits(_read_split(root, files, source, self.resize)[0], None)
            )
        train, test = _classes(root / "train"), _classes(root / "test")
        only = [f"train/{name}" for name in train if name not in test]
        only += [f"test/{name}" for name in test if name not in train]
        if only:
            raise InputError(
                f"{root} holds {_listed(only)} in one of train and test alone, expected the same "
                "class folders in both: add the missing ones or remove these"
            )
        train_images, example = _read_split(root, train, source, self.resize)
        test_images, _ = _read_split(root, test, source, self.resize, example)
        return self._grouped(ImageSplits(train_images, test_images))

    def _grouped(self, splits: ImageSplits) -> ImageSplits:
        if self.group is None:
            return splits
        names = [(images and images.names) or () for images in (splits.train, splits.test)]
        found = [[re.search(self.group, Path(name).name) for name in part] for part in names]
        missed = [
            name
            for part, matches in zip(names, found, strict=True)
            for name, match in zip(part, matches, strict=True)
            if match is None or match[1] is None
        ]
        if missed:
            raise InputError(
                f"dataset.group {self.group} finds no key in the names of {len(missed)} of "
                f"{sum(map(len, names))} files of {self.root} ({_listed(missed)}), expected one in "
                "each: correct the expression, or rename the files"
            )
        train_keys, test_keys = ([match[1] for match in part if match] for part in found)
        return grouped(splits, train_keys, test_keys, self.group)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class folder, in order."""
    entries = _visible(folder)
    if not entries:
        raise InputError(
            f"{folder} is empty, expected a folder of PNG or JPEG images per class: put them there "
            "or give the right folder as root"
        )
    files = [path.name for path in entries if not path.is_dir()]
    if files:
        raise InputError(
            f"{folder} holds {_listed(files)} beside its folders, expected a folder per class and "
            "nothing else: move what is no class folder elsewhere"
        )
    return {entry.name: _images(entry) for entry in entries}


def _images(folder: Path) -> list[Path]:
    files = _visible(folder)
    if not files:
        raise InputError(
            f"{folder} holds no image, expected at least one PNG or JPEG file per class: add "
            "images or remove the folder"
        )
    for path in files:
        if path.is_dir() or path.suffix.lower() not in EXTENSIONS:
            raise InputError(
                f"{path} is {'a folder' if path.is_dir() else 'a file'} among the images of class "
                f"'{folder.name}', expected {', '.join(EXTENSIONS)} files alone: move it elsewhere"
            )
    return files


def _read_split(
    root: Path,
    classes: dict[str, list[Path]],
    source: str,
    resize: int | None,
    example: Example | None = None,
) -> tuple[LabelledImages, Example]:
    def encoded() -> Iterator[tuple[str, bytes]]:
        for files in classes.values():
            for path in files:
                yield str(path), path.read_bytes()

    counts = torch.tensor([len(files) for files in classes.values()])
    images, example = decode_images(encoded(), int(counts.sum()), resize, example)
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    names = tuple(path.relative_to(root).as_posix() for files in classes.values() for path in files)
    return LabelledImages(images, labels, tuple(classes), source, names), example

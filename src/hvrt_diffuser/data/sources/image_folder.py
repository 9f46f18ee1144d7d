"""Images in a folder per class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import Field, field_validator

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import readable
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.assembling import Encoded
from hvrt_diffuser.data.sources.base import SOURCES, FileSource, Root, folder_name
from hvrt_diffuser.data.sources.decoding import UnreadableError
from hvrt_diffuser.data.sources.groups import grouped
from hvrt_diffuser.data.sources.layout import Classes, find_layout
from hvrt_diffuser.data.sources.notes import listed
from hvrt_diffuser.data.sources.resizing import resized_name
from hvrt_diffuser.data.sources.splits import ImageSplits, identified

__all__ = ["ImageFolder"]


@SOURCES.register("image_folder")
class ImageFolder(FileSource):
    """Image files of any format that Pillow reads, in a folder per class or with a CSV file."""

    root: Root = Field(
        description="a folder that holds a folder per class, or such folders in train and test, or "
        "images and a CSV file with a column of files and one of labels"
    )
    label: str | None = Field(
        None, description="column of the labels in a CSV file; null: one that is called so"
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
        """The images of each class; classes that are numbers are in their order.

        Raises:
            InputError: no class, images that cannot be read or are of several sizes, folders that
                can be read in two ways, or a file in whose name ``group`` finds nothing.
        """
        root = self.root
        if not root.is_dir():
            raise InputError(
                f"{root} is no folder, expected one that holds a folder per class: give that as "
                "root"
            )
        layout = find_layout(root, self.label)
        splits = [layout.train] if layout.test is None else [layout.train, layout.test]
        counts = [sum(map(len, classes.values())) for classes in splits]
        source = f"image_folder {folder_name(root)}"
        images, notes = self.stacked(source, _encoded(splits, root), sum(counts))
        source = resized_name(source, self.resize)
        found = [
            _labelled(part, classes, source)
            for part, classes in zip(images.split(counts), splits, strict=True)
        ]
        read = ImageSplits(found[0], found[1] if len(found) > 1 else None, (*layout.notes, *notes))
        return identified(self._grouped(read))

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
                f"{sum(map(len, names))} files of {self.root} ({listed(missed)}), expected one in "
                "each: correct the expression, or rename the files"
            )
        train_keys, test_keys = ([match[1] for match in part if match] for part in found)
        return grouped(splits, train_keys, test_keys, self.group)


def _encoded(splits: list[Classes], root: Path) -> Iterator[Encoded]:
    for classes in splits:
        for files in classes.values():
            for file in files:
                where = readable(file)
                try:
                    yield where, (root / file).read_bytes()
                except OSError as error:  # such as a link to nowhere
                    yield where, UnreadableError(f"cannot be opened ({error.strerror})")


def _labelled(images: torch.Tensor, classes: Classes, source: str) -> LabelledImages:
    counts = torch.tensor([len(files) for files in classes.values()])
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    names = tuple(readable(file) for files in classes.values() for file in files)
    return LabelledImages(images, labels, tuple(map(readable, classes)), source, names)

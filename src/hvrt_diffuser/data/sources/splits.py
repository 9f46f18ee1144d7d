"""The training and the test images of one source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.data.sources.notes import Note

__all__ = ["ImageSplits", "identified"]

DIGITS = 8  # of a fingerprint beside a name


@dataclass(frozen=True)
class ImageSplits:
    """What a source brings.

    Attributes:
        train: images to learn from, uint8 (n, c, h, w).
        test: images of the same shape (c, h, w) and the same classes to judge with, or None where
            the source brings no test split.
        notes: on what was done with which files.

    Raises:
        InputError: the two splits have different shapes or different classes.
    """

    train: LabelledImages
    test: LabelledImages | None
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if self.test is None:
            return
        if self.train.shape != self.test.shape:
            raise InputError(
                f"{self.train.source} has training images of shape {self.train.shape} and test "
                f"images of shape {self.test.shape} (channels, height, width), expected one shape: "
                "give resize, a side in pixels, where the sizes differ, convert the images "
                "to grey or RGB where the channels do"
            )
        if self.train.class_names != self.test.class_names:
            raise InputError(
                f"{self.train.source} has training classes {', '.join(self.train.class_names)} and "
                f"test classes {', '.join(self.test.class_names)}, expected the same ones in the "
                "same order: correct the split that is wrong"
            )


def identified(splits: ImageSplits) -> ImageSplits:
    """The same images; their source says by a fingerprint of them which ones they are.

    Two folders may have the same name.
    """
    found = hashlib.sha256()
    for images in (splits.train, splits.test):
        found.update((fingerprint(images) if images else "none").encode())
    source = f"{splits.train.source} ({found.hexdigest()[:DIGITS]})"
    return replace(
        splits,
        train=replace(splits.train, source=source),
        test=splits.test and replace(splits.test, source=source),
    )

"""Labelled images: the one form in which images travel through the project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import is_whole, read_tensors, write_tensors

__all__ = ["LabelledImages", "fingerprint"]

CHANNELS = (1, 3)


@dataclass(frozen=True)
class LabelledImages:
    """Images with a class each.

    Attributes:
        images: uint8 (n, c, h, w), c = 1 (grey) or 3 (RGB).
        labels: int64 (n,), values 0 ... k - 1.
        class_names: k names, the name of class i at place i.
        source: what the images are, for people and to tell two datasets apart.

    Raises:
        InputError: shapes, types or labels that do not fit together.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        images, labels, k = self.images, self.labels, len(self.class_names)
        if images.ndim != 4 or images.dtype != torch.uint8 or images.shape[1] not in CHANNELS:
            raise InputError(
                f"{self.source} gave {images.dtype} images of shape {tuple(images.shape)}, "
                "expected uint8 (n, c, h, w) with 1 or 3 channels: convert them to grey or RGB"
            )
        if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
            raise InputError(
                f"{self.source} gave labels of shape {tuple(labels.shape)} and type {labels.dtype} "
                f"for {len(images)} images, expected one int64 label per image: correct the labels"
            )
        if len(labels) == 0:
            raise InputError(f"{self.source} holds no image: expected at least one per class")
        if labels.min() < 0 or labels.max() >= k:
            raise InputError(
                f"{self.source} has labels from {int(labels.min())} to {int(labels.max())}, "
                f"expected 0 to {k - 1} for its {k} classes: renumber the labels"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        c, h, w = self.images.shape[1:]
        return c, h, w

    def __getitem__(self, index: Tensor | slice) -> LabelledImages:
        """The images at ``index``, as a new object."""
        return LabelledImages(self.images[index], self.labels[index], self.class_names, self.source)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file.

        Raises:
            InputError: the file there holds images of another source, or something else; it stays
                untouched.
        """
        path = Path(path)
        if is_whole(path):  # a file cut short is no loss
            held = read_tensors(path, "images")[1]["source"]
            if held != self.source:
                raise InputError(
                    f"{path} holds {held} and would be overwritten with {self.source}: choose "
                    "another name for this run with --params run_name=NAME, or delete that folder"
                )
        write_tensors(
            path,
            {"images": self.images, "labels": self.labels},
            {"kind": "images", "class_names": list(self.class_names), "source": self.source},
        )

    @classmethod
    def load(cls, path: str | Path) -> LabelledImages:
        """Read what :meth:`save` wrote."""
        tensors, header = read_tensors(path, "images")
        return cls(
            tensors["images"], tensors["labels"], tuple(header["class_names"]), header["source"]
        )


def fingerprint(images: LabelledImages) -> str:
    """SHA-256 of pixels and labels: equal for equal images, in the same order."""
    found = hashlib.sha256(images.images.numpy().tobytes())
    found.update(images.labels.numpy().tobytes())
    return found.hexdigest()

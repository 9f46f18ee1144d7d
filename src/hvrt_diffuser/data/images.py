"""Labelled images: the one form in which images travel through the project."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import is_whole, read_tensors, write_tensors
from hvrt_diffuser.common.names import readable
from hvrt_diffuser.common.scratch import take_rows

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
        names: of the files or rows of the images, n of them, where the source has them.
        groups: int64 (n,), equal for images that belong together (one patient, one burst of a
            camera) in all splits of a source, which no split may part; None: all stand alone.

    Raises:
        InputError: shapes, types or labels that do not fit together.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    source: str
    names: tuple[str, ...] | None = None
    groups: Tensor | None = None

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
        for name in self.class_names:
            if name != readable(name):
                raise InputError(
                    f"{self.source} has a class called {name!r}, expected a text that can be "
                    f"written as UTF-8: rename it, such as to {readable(name)}"
                )
        for what, values in (("names", self.names), ("groups", self.groups)):
            if values is not None and len(values) != len(images):
                raise InputError(
                    f"{self.source} gave {len(values)} {what} for {len(images)} images, expected "
                    f"as many: correct the {what}"
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        c, h, w = self.images.shape[1:]
        return c, h, w

    def __getitem__(self, index: Tensor | slice) -> LabelledImages:
        """The images at ``index``, as a new object; of a tensor, many lie in a mapped file."""
        rows: Sequence[int]
        if isinstance(index, slice):
            images, rows = self.images[index], range(len(self))[index]
        else:
            index = index.nonzero()[:, 0] if index.dtype == torch.bool else index
            images, rows = take_rows(self.images, index), index.tolist()
        return replace(
            self,
            images=images,
            labels=self.labels[index],
            names=None if self.names is None else tuple(self.names[row] for row in rows),
            groups=None if self.groups is None else self.groups[index],
        )

    def place(self, row: int) -> str:
        """Where an image stands, for people: its name, or else its row."""
        return f"image {row}" if self.names is None else self.names[row]

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
        tensors = {"images": self.images, "labels": self.labels}
        if self.names is not None:  # in a header they could become too long
            text = "\0".join(self.names).encode(errors="surrogateescape")
            tensors["names"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        if self.groups is not None:
            tensors["groups"] = self.groups
        write_tensors(
            path,
            tensors,
            {"kind": "images", "class_names": list(self.class_names), "source": self.source},
        )

    @classmethod
    def load(cls, path: str | Path) -> LabelledImages:
        """Read what :meth:`save` wrote."""
        tensors, header = read_tensors(path, "images")
        names = tensors.get("names")
        text = None if names is None else names.numpy().tobytes().decode(errors="surrogateescape")
        return cls(
            tensors["images"],
            tensors["labels"],
            tuple(header["class_names"]),
            header["source"],
            None if text is None else tuple(text.split("\0")),
            tensors.get("groups"),
        )


def fingerprint(images: LabelledImages) -> str:
    """SHA-256 of pixels and labels: equal for equal images, in the same order."""
    found = hashlib.sha256(images.images.contiguous().numpy().data)
    found.update(images.labels.contiguous().numpy().data)
    return found.hexdigest()

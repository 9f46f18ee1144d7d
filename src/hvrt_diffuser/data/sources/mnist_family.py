"""MNIST and the datasets that share its files: FashionMNIST, KMNIST and the letters of EMNIST."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.downloading import download as fetch_files
from hvrt_diffuser.data.sources.idx import read_idx

__all__ = ["MNIST_FAMILY", "read_mnist_family"]


@dataclass(frozen=True)
class Member:
    """How one dataset of the family is stored.

    Attributes:
        folder: torchvision's folder for it, below the root.
        train, test: what the names of the files of each split begin with.
        class_names: a name per class.
        first_label: the number of the first class in the files.
        transposed: whether the files hold each image with rows and columns exchanged.
        fetch: torchvision's class, called with root, train and download.
    """

    folder: str
    class_names: tuple[str, ...]
    fetch: Callable[..., object]
    train: str = "train"
    test: str = "t10k"
    first_label: int = 0
    transposed: bool = False


MNIST_FAMILY = {
    "MNIST": Member("MNIST", tuple(string.digits), datasets.MNIST),
    "FashionMNIST": Member(
        "FashionMNIST", tuple(datasets.FashionMNIST.classes), datasets.FashionMNIST
    ),
    "KMNIST": Member("KMNIST", tuple(datasets.KMNIST.classes), datasets.KMNIST),
    "EMNISTLetters": Member(
        "EMNIST",
        tuple(string.ascii_uppercase),
        partial(datasets.EMNIST, split="letters"),
        train="emnist-letters-train",
        test="emnist-letters-test",
        first_label=1,
        transposed=True,
    ),
}


def read_mnist_family(
    name: str, root: Path, download: bool
) -> tuple[LabelledImages, LabelledImages]:
    """Read both splits of a dataset of :data:`MNIST_FAMILY`, uint8 (n, 1, h, w).

    Args:
        name: a key of :data:`MNIST_FAMILY`.
        root: a folder that holds the four IDX files, or torchvision's layout of them; each may be
            gzipped.
        download: whether torchvision may fetch files that are missing, into ``root``.

    Raises:
        InputError: files that are missing, broken, foreign, or do not fit together.
    """
    member = MNIST_FAMILY[name]
    stems = [
        f"{prefix}-{what}"
        for prefix in (member.train, member.test)
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    files, missing = _find(member, root, stems)
    if missing and download:
        for train in (True, False):  # EMNIST looks for the files of one split at a time
            fetch_files(name, root, partial(member.fetch, root=root, train=train, download=True))
        files, missing = _find(member, root, stems)
    if missing:
        raise InputError(
            f"{root} lacks {', '.join(missing)} of torchvision's {name}, expected there or in "
            f"{root / member.folder / 'raw'}, each plain or with .gz: put the files there, or give "
            "download=True"
        )
    return _read_split(name, files[0], files[1]), _read_split(name, files[2], files[3])


def _find(member: Member, root: Path, stems: list[str]) -> tuple[list[Path], list[str]]:
    """The files for ``stems`` from the fuller of the two folders, and the stems that it lacks."""
    found: list[dict[str, Path]] = []
    for folder in (root / member.folder / "raw", root):
        # A finished download leaves both forms: the plain one is read faster.
        forms = {stem: (folder / stem, folder / f"{stem}.gz") for stem in stems}
        found.append(
            {stem: path for stem in stems for path in reversed(forms[stem]) if path.is_file()}
        )
    files = max(found, key=len)
    return [files[stem] for stem in stems if stem in files], [s for s in stems if s not in files]


def _read_split(name: str, images_file: Path, labels_file: Path) -> LabelledImages:
    member = MNIST_FAMILY[name]
    images, labels = read_idx(images_file, ndim=3), read_idx(labels_file, ndim=1)
    if len(images) != len(labels):
        raise InputError(
            f"{images_file} holds {len(images)} images and {labels_file} {len(labels)} labels, "
            "expected as many of each: take both files from the same place"
        )
    if member.transposed:
        images = images.transpose(1, 2).contiguous()
    return LabelledImages(
        images[:, None],  # (n, 1, h, w)
        _number(member, labels, labels_file),
        member.class_names,
        f"torchvision {name}",
    )


def _number(member: Member, labels: Tensor, labels_file: Path) -> Tensor:
    """The labels as int64, counted from 0."""
    last = member.first_label + len(member.class_names) - 1
    wrong = sorted({label for label in labels.tolist() if not member.first_label <= label <= last})
    if wrong:
        raise InputError(
            f"{labels_file} holds the label(s) {', '.join(map(str, wrong))}, expected "
            f"{member.first_label} to {last}: put the right file there"
        )
    return labels.to(torch.int64) - member.first_label

"""CIFAR-10 from the batches of its authors, which are pickles: none is opened unverified."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import calculate_md5, check_integrity, extract_archive

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.downloading import download as fetch_files

__all__ = ["read_cifar10"]

SOURCE = "torchvision CIFAR10"


def read_cifar10(root: Path, download: bool) -> tuple[LabelledImages, LabelledImages]:
    """Read CIFAR-10 to train and to test on, uint8 (50000, 3, 32, 32) and (10000, 3, 32, 32).

    Args:
        root: a folder that holds the folder ``cifar-10-batches-py``, the files of that folder, or
            ``cifar-10-python.tar.gz``, which is unpacked elsewhere.
        download: whether torchvision may fetch what is missing, into ``root``.

    Raises:
        InputError: files that are missing, or whose md5 is not the one that torchvision knows.
    """
    if _holds_nothing(root) and download:
        fetch_files("CIFAR10", root, partial(datasets.CIFAR10, root, download=True))
    for folder in _folders(root):
        if not _missing(folder):
            return _read_folder(folder)
    archive = _archive(root)
    if archive.is_file():
        return _read_archive(archive)
    fullest = min(_folders(root), key=lambda folder: len(_missing(folder)))
    raise InputError(
        f"{root} lacks {', '.join(_missing(fullest))} of torchvision's CIFAR10, expected there, in "
        f"{_folders(root)[0]} or within {archive}: put the files there, or give "
        "download=True"
    )


def _holds_nothing(root: Path) -> bool:
    return all(_missing(folder) for folder in _folders(root)) and not _archive(root).is_file()


def _folders(root: Path) -> tuple[Path, Path]:
    return root / datasets.CIFAR10.base_folder, root


def _archive(root: Path) -> Path:
    return root / str(datasets.CIFAR10.filename)


def _checksums() -> dict[str, str]:
    """The md5 that torchvision knows for each file of the folder."""
    cifar10 = datasets.CIFAR10
    return dict(
        [*cifar10.train_list, *cifar10.test_list, (cifar10.meta["filename"], cifar10.meta["md5"])]
    )


def _missing(folder: Path) -> list[str]:
    return [name for name in _checksums() if not (folder / name).is_file()]


def _read_archive(archive: Path) -> tuple[LabelledImages, LabelledImages]:
    """Read the batches of an archive, unpacked into a temporary folder."""
    if not check_integrity(archive, datasets.CIFAR10.tgz_md5):
        raise _corrupt(archive, datasets.CIFAR10.tgz_md5)
    with TemporaryDirectory() as temporary:
        extract_archive(archive, temporary)
        return _read_folder(Path(temporary, datasets.CIFAR10.base_folder))


def _read_folder(folder: Path) -> tuple[LabelledImages, LabelledImages]:
    """Read a folder that holds every file."""
    with TemporaryDirectory() as temporary:
        # torchvision looks for a folder of one name, which a flat layout does not have
        Path(temporary, datasets.CIFAR10.base_folder).symlink_to(folder.resolve())
        try:
            train, test = (datasets.CIFAR10(temporary, train=train) for train in (True, False))
        except RuntimeError as error:  # raised before anything is unpickled
            for name, md5 in _checksums().items():
                if not check_integrity(folder / name, md5):
                    raise _corrupt(folder / name, md5) from error
            raise
    return _labelled(train), _labelled(test)


def _corrupt(path: Path, md5: str) -> InputError:
    return InputError(
        f"{path} has the md5 {calculate_md5(path)}, expected {md5}: delete it and fetch it again"
    )


def _labelled(split: datasets.CIFAR10) -> LabelledImages:
    images = torch.from_numpy(np.ascontiguousarray(split.data.transpose(0, 3, 1, 2)))
    labels = torch.tensor(split.targets, dtype=torch.int64)
    return LabelledImages(images, labels, tuple(split.classes), SOURCE)  # (n, 3, 32, 32), (n,)

"""OMNIGLOT's characters at 28x28 pixels, in the split of Burda et al. 2016 (arXiv 1509.00519)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource, Root
from hvrt_diffuser.data.sources.notes import listed
from hvrt_diffuser.data.sources.resizing import resize_labelled
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["Omniglot"]

SIDE = 28
NAMES = {"training": ("data", "target"), "test": ("testdata", "testtarget")}
ROUNDING = 1e-3  # by which a grey level may lie outside of [0, 1]


@SOURCES.register("omniglot")
class Omniglot(ImageSource):
    """OMNIGLOT's characters by alphabet, 28x28, in the file chardata.mat of IWAE's authors."""

    root: Root = Field(description="a .mat file, or a folder that holds one such file")

    def read(self) -> ImageSplits:
        """Both splits, uint8 (n, 1, 28, 28): a grey level is the probability of a stroke.

        Raises:
            InputError: no such file, one that is no MAT file, or arrays that are missing or of
                another shape or type.
        """
        path = self._file()
        arrays = _arrays(path)
        splits = [_split(path, split, arrays) for split in NAMES]
        if len(splits[0].class_names) != len(splits[1].class_names):
            raise InputError(
                f"{path} has {len(splits[0].class_names)} alphabets in target and "
                f"{len(splits[1].class_names)} in testtarget, expected the same: fetch it again"
            )
        train, test = (resize_labelled(images, self.resize) for images in splits)
        return ImageSplits(train, test)

    def _file(self) -> Path:
        files = [self.root] if self.root.is_file() else sorted(self.root.glob("*.mat"))
        if len(files) != 1:
            raise InputError(
                f"{self.root} holds {listed([file.name for file in files]) or 'no .mat file'}, "
                "expected one .mat file, chardata.mat: give it as root"
            )
        return files[0]


def _arrays(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat  # of no use to other sources
    from scipy.io.matlab import MatReadError

    names = [name for both in NAMES.values() for name in both]
    try:
        found: dict[str, Any] = loadmat(path, variable_names=names)
    except (
        MatReadError,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read ({reason}), expected a whole "
            "MAT file of version 5: fetch it again"
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{path} lacks {listed(missing)}, expected {listed(names)} as in chardata.mat: give "
            "that file"
        )
    return found


def _split(path: Path, split: str, arrays: dict[str, Any]) -> LabelledImages:
    names = NAMES[split]
    pixels, target = (arrays[name] for name in names)
    for name, array in zip(names, (pixels, target), strict=True):
        if not (isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "fiub"):
            raise InputError(
                f"{path} holds no table of numbers in {name}, expected one as in chardata.mat: "
                "give that file"
            )
    pixels, target = pixels.astype(np.float64), target.astype(np.float64)
    if len(pixels) != SIDE**2 or pixels.shape[1] != target.shape[1] or not pixels.shape[1]:
        raise InputError(
            f"{path} holds {names[0]} of shape {pixels.shape} and {names[1]} of shape "
            f"{target.shape}, expected ({SIDE**2}, n) and (alphabets, n): give chardata.mat"
        )
    inside = (pixels >= -ROUNDING) & (pixels <= 1 + ROUNDING)
    of_one = np.isin(target, (0, 1)).all(axis=0) & (target.sum(axis=0) == 1)
    if not inside.all() or not of_one.all():
        wrong = names[0] if not inside.all() else names[1]
        raise InputError(
            f"{path} holds other values in {wrong}, expected grey levels from 0 to 1 and one 1 "
            "for each image's alphabet: give chardata.mat"
        )
    # A column is an image that is written column by column.
    images = pixels.T.reshape(-1, 1, SIDE, SIDE).transpose(0, 1, 3, 2)
    return LabelledImages(
        torch.from_numpy((255 * images.clip(0, 1)).round().astype(np.uint8)),
        torch.from_numpy(target.argmax(axis=0)),
        tuple(f"alphabet {c}" for c in range(1, len(target) + 1)),
        "OMNIGLOT 28x28",
    )

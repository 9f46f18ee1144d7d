"""OMNIGLOT from the file of Burda et al.: it comes out upright, and other files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits, read_images


def halves(digits: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
    return digits[torch.arange(200)], digits[torch.arange(200, 240)]


def arrays(digits: LabelledImages) -> dict[str, Any]:
    """Digits as chardata.mat has characters: a column each, written column by column."""

    def columns(images: LabelledImages) -> Any:
        upright = images.images[:, 0].numpy().astype(np.float64) / 255
        return upright.transpose(0, 2, 1).reshape(len(images), -1).T

    def one_hot(images: LabelledImages) -> Any:
        return np.eye(10)[images.labels.numpy()].T

    train, test = halves(digits)
    return {
        "data": columns(train),
        "target": one_hot(train),
        "targetchar": np.ones((1, 200)),
        "testdata": columns(test),
        "testtarget": one_hot(test),
    }


def read(path: Path, **held: Any) -> ImageSplits:
    savemat(path / "chardata.mat", held)
    return read_images("omniglot", root=path)


def test_characters_come_out_upright_with_their_alphabets(
    digits: LabelledImages, tmp_path: Path
) -> None:
    found = read(tmp_path, **arrays(digits))
    assert found.test is not None
    for own, expected in (
        (found.train, digits[slice(0, 200)]),
        (found.test, digits[slice(200, 240)]),
    ):
        assert own.images.equal(expected.images)
        assert own.labels.equal(expected.labels)
        assert own.class_names == tuple(f"alphabet {c}" for c in range(1, 11))
    smaller = read_images("omniglot", root=tmp_path / "chardata.mat", resize=14)
    assert smaller.train.shape == (1, 14, 14)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "an array is missing": ({"testtarget": None}, "lacks testtarget, expected"),
    "images of another size": ({"data": np.zeros((64, 200))}, r"data of shape \(64, 200\)"),
    "labels of other images": ({"target": np.eye(10)}, r"target of shape \(10, 10\)"),
    "no image": ({"data": np.zeros((784, 0)), "target": np.zeros((10, 0))}, "of shape"),
    "a text": ({"data": "characters"}, "no table of numbers in data"),
    "grey levels to 255": ({"data": np.full((784, 200), 255.0)}, "other values in data"),
    "not a number": ({"data": np.full((784, 200), np.nan)}, "other values in data"),
    "two alphabets": ({"target": np.ones((10, 200))}, "other values in target"),
    "more alphabets in training": (
        {"target": np.eye(11)[np.arange(200) % 11].T},
        "11 alphabets in target and 10 in testtarget",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_arrays_are_refused(digits: LabelledImages, tmp_path: Path, case: str) -> None:
    changes, said = CHANGES[case]
    held = {k: v for k, v in {**arrays(digits), **changes}.items() if v is not None}
    with pytest.raises(InputError, match=said):
        read(tmp_path, **held)


@pytest.mark.parametrize("content", [b"", b"no MAT file", b"MATLAB 7.3 MAT-file" + bytes(600)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chardata.mat").write_bytes(content)
    with pytest.raises(InputError, match="expected a whole MAT file of version 5"):
        read_images("omniglot", root=tmp_path)


def test_a_file_that_is_cut_short_is_refused(digits: LabelledImages, tmp_path: Path) -> None:
    read(tmp_path, **arrays(digits))
    path = tmp_path / "chardata.mat"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"chardata\.mat .* cannot be read"):
        read_images("omniglot", root=tmp_path)


def test_a_folder_without_a_file_or_with_several_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.mat file, expected one"):
        read_images("omniglot", root=tmp_path)
    for name in ("a.mat", "b.mat"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"holds a\.mat.*b\.mat, expected one"):
        read_images("omniglot", root=tmp_path)

"""Arrays of MedMNIST and Keras, and how a path tells which source reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from field_inputs import (
    LABELS,
    Pixels,
    encode,
    held_out,
    notes,
    planes,
    refusal,
    write,
    write_folder,
    write_parquet,
)

from hvrt_diffuser.data.sources import read_images, source_of

COLUMN = np.array(LABELS)[:, None]  # labels as MedMNIST has them, (n, 1)


def test_medmnist_comes_out_as_it_went_in(tmp_path: Path, grey: Pixels) -> None:
    path = tmp_path / "toymnist.npz"
    np.savez(
        path,
        train_images=grey,
        train_labels=COLUMN,
        val_images=grey[:3],
        val_labels=COLUMN[:3],
        test_images=grey[::-1],
        test_labels=COLUMN[::-1],
    )
    splits = read_images("npz", root=path)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.labels.tolist() == LABELS
    assert torch.equal(held_out(splits).images, planes(grey).flip(0))
    assert held_out(splits).labels.tolist() == LABELS[::-1]
    assert splits.train.class_names == ("0", "1", "2")
    assert splits.train.source.startswith("npz toymnist.npz (")
    assert notes(splits) == ["validation images left out: 3"]


@pytest.mark.parametrize("form", ["rgb", "one channel", "keras", "plain"])
def test_other_arrays_of_images_and_labels_are_read(
    tmp_path: Path, grey: Pixels, colour: Pixels, form: str
) -> None:
    images = {"rgb": colour, "one channel": grey[..., None]}.get(form, grey)
    names = {"keras": ("x_train", "y_train"), "plain": ("images", "labels")}
    image, label = names.get(form, ("train_images", "train_labels"))
    np.savez(tmp_path / "a.npz", **{image: images, label: np.array(LABELS) + 1})
    train = read_images("npz", root=tmp_path, resize=14).train
    assert train.class_names == ("1", "2", "3")
    assert train.shape == (3 if form == "rgb" else 1, 14, 14)


def test_validation_images_are_the_test_images_where_there_are_no_others(
    tmp_path: Path, grey: Pixels
) -> None:
    arrays = {"train_images": grey, "train_labels": COLUMN}
    np.savez(tmp_path / "a.npz", **arrays, val_images=grey[:3], val_labels=COLUMN[:3])
    splits = read_images("npz", root=tmp_path)
    assert torch.equal(held_out(splits).images, planes(grey[:3]))
    assert "validation images taken as the test images: 3" in notes(splits)


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [
        ({"a": np.zeros(3)}, ["no training images", "train_images"]),
        ({"images": np.zeros((2, 4, 4, 4), np.uint8), "labels": [0, 1]}, ["(2, 4, 4, 4)", "uint8"]),
        ({"images": np.zeros((2, 4, 4)), "labels": [0, 1]}, ["float64", "uint8"]),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros((2, 14))},
            ["(2, 14)", "one class per image"],
        ),
        ({"images": np.array([None, "a"], dtype=object)}, ["cannot be read", "pickle"]),
    ],
)
def test_arrays_that_are_no_labelled_images_are_refused(
    tmp_path: Path, arrays: dict[str, Any], facts: list[str]
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    message = refusal(source="npz", root=tmp_path / "a.npz")
    assert all(fact in message for fact in [str(tmp_path), *facts]), message


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    assert "no npz file" in refusal(source="npz", root=tmp_path)
    write(tmp_path / "a.npz", b"PK but nothing more")
    assert "cannot be read" in refusal(source="npz", root=tmp_path)
    write(tmp_path / "b.npz", b"")
    assert "a.npz, b.npz" in refusal(source="npz", root=tmp_path)


# ---- by path


def test_a_path_tells_its_source(tmp_path: Path, grey: Pixels) -> None:
    folder = write_folder(tmp_path / "folder", grey, LABELS)
    hub = tmp_path / "hub"
    file = write_parquet(hub / "default" / "train" / "0000.parquet", encode(grey), LABELS)
    array = tmp_path / "array" / "a.npz"
    array.parent.mkdir()
    np.savez(array, images=grey, labels=LABELS)
    expected = {"image_folder": [folder], "parquet": [file, hub]}
    for source, paths in (expected | {"npz": [array, array.parent]}).items():
        for path in paths:
            assert source_of(path) == source
            train = read_images("auto", root=path).train
            assert torch.equal(train.images, planes(grey))
            assert train.source.startswith(f"{source} ")


def test_options_are_passed_on_or_refused(tmp_path: Path, grey: Pixels) -> None:
    root = write_folder(tmp_path, grey, LABELS)
    arguments = {"root": root, "resize": 7, "channels": "rgb", "group": r"(\d+)"}
    train = read_images("auto", **arguments).train
    assert train.shape == (3, 7, 7)
    assert train.groups is not None
    assert "no option image" in refusal(source="auto", root=root, image="img")


def test_a_path_to_nothing_and_an_archive_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(source="auto", root=tmp_path / "absent")
    path = write(tmp_path / "images.zip", b"PK")
    assert "unpack" in refusal(source="auto", root=path)

"""Parquet files: which rows are which images of which class, and what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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
    write_grouped,
    write_parquet,
)

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images


@pytest.mark.parametrize("below", [".", "data"])
def test_parquet_pixels_come_out_as_they_went_in(
    tmp_path: Path, colour: Pixels, below: str
) -> None:
    root = tmp_path / "mine"
    write_parquet(root / below / "train.parquet", encode(colour), LABELS)
    write_parquet(root / below / "test.parquet", encode(colour[::-1]), LABELS[::-1])
    splits = read_images("parquet", root=root)
    test = held_out(splits)
    assert torch.equal(splits.train.images, planes(colour))
    assert splits.train.labels.tolist() == LABELS
    assert torch.equal(test.images, planes(colour).flip(0))
    assert test.labels.tolist() == LABELS[::-1]
    assert splits.train.class_names == test.class_names == ("0", "1", "2")
    assert splits.train.source.startswith("parquet mine (")


def test_parquet_shards_are_read_in_order(tmp_path: Path, grey: Pixels) -> None:
    encoded = encode(grey)
    for i in (2, 0, 1):
        rows = slice(4 * i, 4 * i + 4)
        write_parquet(tmp_path / f"train-{i:05}-of-00003.parquet", encoded[rows], LABELS[rows])
    splits = read_images("parquet", root=tmp_path)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.labels.tolist() == LABELS
    assert splits.test is None


def test_single_parquet_file_has_no_test_split_and_keeps_its_class_names(
    tmp_path: Path, grey: Pixels
) -> None:
    names = ["cat", "dog", "eel"]
    path = write_parquet(tmp_path / "mine.parquet", encode(grey), LABELS, names)
    splits = read_images("parquet", root=path)
    assert splits.test is None
    assert splits.train.class_names == tuple(names)
    assert splits.train.source.startswith("parquet mine.parquet (")


def test_many_parquet_rows_come_in_order(tmp_path: Path, digits: LabelledImages) -> None:
    some = digits[torch.arange(0, 5000, 8)]  # more than one batch of rows
    path = write_parquet(
        tmp_path / "mine.parquet", encode(some.images[:, 0].numpy()), some.labels.tolist()
    )
    read = read_images("parquet", root=path).train
    assert torch.equal(read.images, some.images)
    assert torch.equal(read.labels, some.labels)


def test_real_cifar10_parquet(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "test.parquet"
    path.symlink_to(real_data / "cifar10" / "test.parquet")
    train = read_images("parquet", root=path).train
    assert train.images.shape == (10_000, 3, 32, 32)
    assert torch.bincount(train.labels).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([1] * 6 + [2] * 6, ("1", "2"), [0] * 6 + [1] * 6),
        ([0, 2] * 6, ("0", "2"), [0, 1] * 6),
        ([10, 9] * 6, ("9", "10"), [1, 0] * 6),
        ([-1, 1] * 6, ("-1", "1"), [0, 1] * 6),
        (pa.array([0.0, 1.0] * 6), ("0", "1"), [0, 1] * 6),
        (pa.array([1, 0] * 6, pa.uint8()), ("0", "1"), [1, 0] * 6),
        (pa.array([True, False] * 6), ("False", "True"), [1, 0] * 6),
        (pa.array(["dog", "cat"] * 6), ("cat", "dog"), [1, 0] * 6),
        (pa.array(["10", "9"] * 6), ("9", "10"), [1, 0] * 6),
        (pa.array(["caf\u00e9", "cafe\u0301"] * 6), ("caf\u00e9",), [0] * 12),
        (pa.array(["b", "a"] * 6).dictionary_encode(), ("a", "b"), [1, 0] * 6),
        (pa.array([2**64 - 1, 0] * 6, pa.uint64()), ("0", str(2**64 - 1)), [1, 0] * 6),
    ],
)
def test_labels_of_any_kind_become_classes(
    tmp_path: Path, grey: Pixels, labels: Any, names: tuple[str, ...], numbers: list[int]
) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), labels)
    train = read_images("parquet", root=path).train
    assert train.class_names == names
    assert train.labels.tolist() == numbers


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        ([-1, *LABELS[1:]], ["1 of 12 training images", "no label", "row 0"]),
        ([*LABELS[1:], None], ["1 of 12 training images", "no label", "row 11"]),
        ([None] * 12, ["12 of 12 training images"]),
        (pa.array([0.0, float("nan")] * 6), ["6 of 12 training images", "row 1"]),
        (pa.array([0.5] * 12), ["0.5", "whole numbers"]),
        (pa.array([[0]] * 12), ["list", "one class per image"]),
        (list(range(12)), ["another label in each", "column of the classes"]),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_their_cause(
    tmp_path: Path, grey: Pixels, labels: Any, facts: list[str]
) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), labels)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in [str(tmp_path), *facts]), message


def test_test_labels_must_be_those_of_training(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    write_parquet(tmp_path / "test.parquet", encode(grey), [0, 1, 3] * 4)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in ("test images of the class 3", "0, 1, 2")), message


def test_a_test_split_without_a_class_is_read_and_said(tmp_path: Path, grey: Pixels) -> None:
    names = ["cat", "dog", "eel"]
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS, names)
    write_parquet(tmp_path / "test.parquet", encode(grey), [0, 2] * 6, names)
    splits = read_images("parquet", root=tmp_path)
    assert held_out(splits).labels.tolist() == [0, 2] * 6
    assert notes(splits) == ["classes without a test image: 1 (dog)"]


def test_named_classes_without_an_image_are_left_out(tmp_path: Path, grey: Pixels) -> None:
    names = ["ape", "cat", "dog"]
    path = write_parquet(tmp_path / "a.parquet", encode(grey), [1, 2] * 6, names)
    splits = read_images("parquet", root=path)
    assert splits.train.class_names == ("cat", "dog")
    assert splits.train.labels.tolist() == [0, 1] * 6
    assert notes(splits) == ["classes left out that have no image: 1 (ape)"]


@pytest.mark.parametrize("test", [None, [], [-1] * 12])
def test_validation_images_stand_in_for_test_images(
    tmp_path: Path, grey: Pixels, test: list[int] | None
) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    write_parquet(tmp_path / "validation.parquet", encode(grey[::-1]), LABELS)
    if test is not None:
        write_parquet(tmp_path / "test.parquet", encode(grey[: len(test)]), test)
    splits = read_images("parquet", root=tmp_path)
    assert torch.equal(held_out(splits).images, planes(grey).flip(0))
    assert "the validation split taken as the test images: 12" in notes(splits)
    assert len(notes(splits)) == 1 + (test is not None)


def test_validation_images_beside_test_images_are_left_out(tmp_path: Path, grey: Pixels) -> None:
    for split, rows in (("train", grey), ("test", grey[:6]), ("validation", grey)):
        write_parquet(tmp_path / f"{split}.parquet", encode(rows), LABELS[: len(rows)])
    splits = read_images("parquet", root=tmp_path)
    assert len(held_out(splits)) == 6
    assert "left out: the validation split, since test images are there: 12" in notes(splits)


def test_test_images_of_which_some_have_no_label_are_refused(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    write_parquet(tmp_path / "test.parquet", encode(grey), [-1, *LABELS[1:]])
    assert "1 of 12 test images" in refusal(source="parquet", root=tmp_path)


@pytest.mark.parametrize("other", ["train_balanced", "training_augmented", "train_test_split"])
def test_a_file_of_another_name_is_no_part_of_the_split(
    tmp_path: Path, grey: Pixels, other: str
) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    write_parquet(tmp_path / f"{other}.parquet", encode(grey), LABELS)
    splits = read_images("parquet", root=tmp_path)
    assert len(splits.train) == 12
    assert splits.test is None
    assert any(f"{other}.parquet" in note for note in notes(splits))


@pytest.mark.parametrize(
    "file",
    [
        "{}.parquet",
        "data/{}.parquet",
        "{}/0000.parquet",
        "default/{}/0000.parquet",
        "plain/{}-00000-of-00001.parquet",
        "{}-00000-of-00001-0a1b2c.parquet",
        "{}_0.parquet",
    ],
)
def test_splits_are_found_in_every_layout(tmp_path: Path, grey: Pixels, file: str) -> None:
    write_parquet(tmp_path / file.format("train"), encode(grey), LABELS)
    write_parquet(tmp_path / file.format("test"), encode(grey[:6]), LABELS[:6])
    splits = read_images("parquet", root=tmp_path)
    assert (len(splits.train), len(held_out(splits))) == (12, 6)


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (("img", "labels"), ("img", "labels")),
        (("img", "fine_label", "coarse_label"), ("img", "fine_label")),
        (("picture", "class"), ("picture", "class")),
    ],
)
def test_columns_of_common_names_are_found_and_said(
    tmp_path: Path, grey: Pixels, columns: tuple[str, ...], taken: tuple[str, str]
) -> None:
    image, label, *coarse = columns
    table = {image: encode(grey), label: LABELS, **{name: [0] * 12 for name in coarse}}
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(table), path)
    splits = read_images("parquet", root=path)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.labels.tolist() == LABELS
    assert [note.split(";")[0].split()[-1] for note in notes(splits)] == list(taken)
    if coarse:
        chosen = read_images("parquet", root=path, label="coarse_label")
        assert chosen.train.class_names == ("0",)


def test_labels_must_fit_the_class_names(tmp_path: Path, grey: Pixels) -> None:
    path = write_parquet(tmp_path / "a.parquet", encode(grey), LABELS, ["cat", "dog"])
    message = refusal(source="parquet", root=path)
    assert "label 2" in message
    assert "0 to 1" in message


def test_class_names_in_train_alone_are_those_of_all(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS, ["sea/lake", "a: b", "*"])
    write_parquet(tmp_path / "test.parquet", encode(grey), LABELS)
    test = held_out(read_images("parquet", root=tmp_path))
    assert test.class_names == ("sea/lake", "a: b", "*")


def test_class_names_must_agree_between_files(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS, ["a", "b", "c"])
    write_parquet(tmp_path / "test.parquet", encode(grey), LABELS, ["a", "c", "b"])
    message = refusal(source="parquet", root=tmp_path)
    assert "train.parquet" in message
    assert "class names" in message


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[]",
        '{"info": {"features": {"label": {"names": 3}}}}',
        '{"info": {"features": {"label": {"names": "abc"}}}}',
        '{"info": {"features": {"label": {"names": [0, 1, 2]}}}}',
    ],
)
def test_unreadable_class_names_are_refused(tmp_path: Path, grey: Pixels, metadata: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", encode(grey), LABELS)
    table = pq.read_table(path).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, path)
    message = refusal(source="parquet", root=path)
    assert str(path) in message
    assert "huggingface" in message


def test_all_rows_that_are_no_images_are_named(tmp_path: Path, grey: Pixels) -> None:
    images: list[bytes | None] = [*encode(grey)]
    images[3], images[7], images[9] = b"", b"no image at all", None
    write_parquet(tmp_path / "train.parquet", images, LABELS)
    message = refusal(source="parquet", root=tmp_path)
    facts = ["3 of 12 images", "row 3 of train.parquet (0 bytes)", "row 7", "15 bytes", "row 9"]
    assert all(fact in message for fact in facts), message


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        ({"x": [b"x"], "label": [0]}, ["x, label", "no images called image"]),
        ({"img": [b"x"], "y": [0]}, ["img, y", "no labels called label"]),
        ({"image": ["x"], "label": [0]}, ["string", "struct<bytes"]),
        ({"image": [{"bytes": "x"}], "label": [0]}, ["string", "struct<bytes"]),
        ({"image": [{"path": "x"}], "label": [0]}, ["struct<path: string>", "struct<bytes"]),
    ],
)
def test_foreign_columns_are_refused(
    tmp_path: Path, table: dict[str, list[Any]], facts: list[str]
) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(table), path)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in [str(path), *facts]), message


@pytest.mark.parametrize("column", ["image", "label"])
def test_damaged_page_is_refused(tmp_path: Path, grey: Pixels, column: str) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    row_group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = row_group.column(0 if column == "image" else 2)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    assert str(path) in refusal(source="parquet", root=tmp_path)


def test_damaged_or_empty_parquet_is_refused(tmp_path: Path, grey: Pixels) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    path.write_bytes(path.read_bytes()[:-10])
    assert str(path) in refusal(source="parquet", root=tmp_path)
    write_parquet(path, [], [])
    assert "0 rows" in refusal(source="parquet", root=tmp_path)


def test_missing_shard_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", encode(grey), LABELS)
    message = refusal(source="parquet", root=tmp_path)
    assert "train-00000-of-00002.parquet" in message
    assert "2 train shards" in message
    write_parquet(tmp_path / "train-00001-of-00002.parquet", encode(grey), LABELS)
    assert len(read_images("parquet", root=tmp_path).train) == 24
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    assert "train.parquet" in refusal(source="parquet", root=tmp_path)


def test_parquet_root_without_training_files_is_refused(tmp_path: Path, grey: Pixels) -> None:
    assert str(tmp_path / "absent") in refusal(source="parquet", root=tmp_path / "absent")
    message = refusal(source="parquet", root=tmp_path)
    assert str(tmp_path) in message
    assert "train*.parquet" in message
    for below in (".", "data"):
        write_parquet(tmp_path / below / "train.parquet", encode(grey), LABELS)
    assert "several datasets" in refusal(source="parquet", root=tmp_path)


@pytest.mark.parametrize("kind", [pa.string(), pa.int32()])
def test_parquet_groups_and_names_are_read(tmp_path: Path, grey: Pixels, kind: Any) -> None:
    names = [f"cat/{i}.jpg" for i in range(12)]
    for split, first in (("train", 10), ("test", 13)):
        keys = pa.array([first + i // 3 for i in range(12)]).cast(kind)
        write_grouped(tmp_path / f"{split}.parquet", grey, keys, names)
    splits = read_images("parquet", root=tmp_path, group="patient")
    train, test = splits.train.groups, held_out(splits).groups
    assert splits.train.names == tuple(names)
    assert train is not None
    assert test is not None
    assert train.tolist() == [i // 3 for i in range(12)]
    assert test.tolist() == [3 + i // 3 for i in range(12)]  # 13 is the last of training
    assert read_images("parquet", root=tmp_path).train.groups is None


def test_parquet_names_are_none_unless_every_row_has_one(tmp_path: Path, grey: Pixels) -> None:
    keys = pa.array(range(12))
    write_grouped(tmp_path / "train.parquet", grey, keys, [None, *"abcdefghijk"])
    assert read_images("parquet", root=tmp_path).train.names is None


@pytest.mark.parametrize(
    ("group", "keys", "facts"),
    [
        ("person", list(range(12)), ["image, label, patient", "person"]),
        ("image", list(range(12)), ["plain values", "image"]),
        ("patient", [7] * 12, ["one group", "7"]),
        ("patient", [1, 2, None] * 4, ["row 2", "no patient"]),
    ],
)
def test_parquet_column_that_makes_no_groups_is_refused(
    tmp_path: Path, grey: Pixels, group: str, keys: list[int | None], facts: list[str]
) -> None:
    write_grouped(tmp_path / "train.parquet", grey, pa.array(keys), [None] * 12)
    message = refusal(source="parquet", root=tmp_path, group=group)
    assert all(fact in message for fact in facts), message

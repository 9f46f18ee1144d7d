"""Folders of images: which files are which images of which class, and what cannot be used."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from field_inputs import (
    LABELS,
    Pixels,
    held_out,
    notes,
    planes,
    png_bytes,
    refusal,
    write,
    write_folder,
    write_named,
)
from PIL import Image

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources import read_images


def test_png_pixels_come_out_as_they_went_in(tmp_path: Path, colour: Pixels) -> None:
    root = write_folder(tmp_path / "mine", colour, LABELS)
    (root / ".DS_Store").write_bytes(b"left by a file manager")
    (root / "0" / ".hidden.png").write_bytes(b"hidden")
    splits = read_images("image_folder", root=root)
    assert torch.equal(splits.train.images, planes(colour))
    assert splits.train.labels.tolist() == LABELS
    assert splits.train.class_names == ("0", "1", "2")
    assert splits.train.source.startswith("image_folder mine (")
    assert splits.test is None


def test_train_and_test_folders_are_the_splits(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[::4], [0, 1, 2])
    (tmp_path / ".DS_Store").touch()
    splits = read_images("image_folder", root=tmp_path)
    assert torch.equal(splits.train.images, planes(grey))
    assert torch.equal(held_out(splits).images, planes(grey[::4]))
    assert held_out(splits).labels.tolist() == [0, 1, 2]


def test_train_and_test_beside_another_folder_are_classes(tmp_path: Path, grey: Pixels) -> None:
    for i, name in enumerate(("train", "test", "tram")):
        write(tmp_path / name / "a.png", png_bytes(grey[i]))
    train = read_images("image_folder", root=tmp_path).train
    assert train.class_names == ("test", "train", "tram")
    assert torch.equal(train.images, planes(grey[[1, 0, 2]]))


def test_groups_of_files_are_the_first_group_of_the_expression(
    tmp_path: Path, grey: Pixels
) -> None:
    files = ["cat/p1_a.png", "cat/p1_b.png", "cat/p2_a.png", "dog/p1_a.png", "dog/p3_a.png"]
    root = write_named(tmp_path / "mine", grey[:5], files)
    train = read_images("image_folder", root=root, group=r"^(p\d+)_").train
    assert train.names == tuple(files)
    assert train.groups is not None
    assert train.groups.tolist() == [0, 0, 1, 0, 2]
    assert read_images("image_folder", root=root).train.groups is None


def test_groups_are_the_same_in_train_and_test_folders(tmp_path: Path, grey: Pixels) -> None:
    files = ["train/a/p1_0.png", "train/a/p2_0.png", "test/a/p2_1.png", "test/a/p3_0.png"]
    splits = read_images(
        "image_folder", root=write_named(tmp_path, grey[:4], files), group="(p.)_", resize=7
    )
    groups = splits.train.groups, held_out(splits).groups
    assert [part.tolist() for part in groups if part is not None] == [[0, 1], [1, 2]]
    assert held_out(splits).names == tuple(files[2:])


@pytest.mark.parametrize(
    ("group", "facts"),
    [
        ("^(q.)_", ["^(q.)_", "4 of 4 files", "a/p1_0.png"]),
        ("^(p1)_", ["2 of 4 files", "a/p2_0.png"]),
        ("^(p)", ["one group", "'p'"]),
        ("(x)?p", ["4 of 4 files"]),
        ("^p._", ["group", "brackets"]),
        ("(p", ["no regular expression"]),
    ],
)
def test_expression_that_makes_no_groups_is_refused(
    tmp_path: Path, grey: Pixels, group: str, facts: list[str]
) -> None:
    write_named(tmp_path, grey[:4], ["a/p1_0.png", "a/p1_1.png", "a/p2_0.png", "b/p3_0.png"])
    message = refusal(source="image_folder", root=tmp_path, group=group)
    assert all(fact in message for fact in facts), message


def test_jpeg_is_read_whatever_the_case_of_its_extension(tmp_path: Path, colour: Pixels) -> None:
    data = png_bytes(colour[0], "JPEG", quality=95)
    names = ["a.JPG", "b.jpeg", "c.Jpg"]
    for name in names:
        write(tmp_path / "only" / name, data)
    train = read_images("image_folder", root=tmp_path).train
    expected = np.asarray(Image.open(io.BytesIO(data)))
    assert torch.equal(train.images, planes(np.stack([expected] * 3)))
    assert train.class_names == ("only",)  # one class can be read


def test_all_unreadable_files_are_named_at_once(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path, grey, LABELS)
    noise = Image.effect_noise((28, 28), 90.0)
    write(tmp_path / "1" / "cut.png", png_bytes(noise)[:-300])
    write(tmp_path / "1" / "cut.jpg", png_bytes(noise, "JPEG")[:-200])
    write(tmp_path / "2" / "notes.png", b"some text")
    write(tmp_path / "2" / "phone.heic", b"ftypheic")
    (tmp_path / "0" / "link.png").symlink_to(tmp_path / "nowhere.png")
    write(tmp_path / "0" / "wide.png", png_bytes(grey[0][:20]))
    message = refusal(source="image_folder", root=tmp_path)
    for fact in (
        "5 of 18 images",
        "0/link.png cannot be opened (No such file",
        "1/cut.jpg",
        "1/cut.png",
        "2/notes.png (9 bytes) is no image",
        "2/phone.heic",
        "2 sizes, from 28x20 pixels (0/wide.png) to 28x28 (0/000.png)",
        "dataset.resize=28",
    ):
        assert fact in message, message


def test_what_is_no_image_by_name_and_bytes_is_passed_over_and_said(
    tmp_path: Path, grey: Pixels
) -> None:
    root = write_folder(tmp_path, grey, LABELS)
    litter = ["Thumbs.db", "1/desktop.ini", "__MACOSX/0/._a.png", "0/._a.png", ".DS_Store"]
    for name in (*litter, "README.md", "2/boxes.txt", ".net/a.png", "1/.b.png", "notes/a.txt"):
        write(root / name, b"anything")
    splits = read_images("image_folder", root=root)
    assert torch.equal(splits.train.images, planes(grey))
    assert sorted(notes(splits)) == [
        "passed over: files of the system: 5 (.DS_Store, 0/._a.png, 1/desktop.ini, Thumbs.db, "
        "__MACOSX)",
        "passed over: files that are no images: 3 (2/boxes.txt, README.md, notes/a.txt)",
        "passed over: folders without an image: 1 (notes)",
        "passed over: hidden files: 1 (1/.b.png)",
        "passed over: hidden folders; rename those that are classes: 1 (.net)",
    ]


def test_two_sizes_are_refused_and_can_be_resized(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path, grey, LABELS)
    write(tmp_path / "1" / "wide.png", png_bytes(grey[0][:20]))
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in ("1/wide.png", "28x20", "28x28", "give resize"))
    splits = read_images("image_folder", root=tmp_path, resize=14)
    assert splits.train.shape == (1, 14, 14)
    assert notes(splits) == ["sizes: from 28x20 to 28x28 pixels, cropped to 14x14"]


@pytest.mark.parametrize("side", [4000, 70, 3])
def test_the_side_that_is_advised_trains_in_minutes(tmp_path: Path, side: int) -> None:
    for i in range(3):
        write(tmp_path / "a" / f"{i}.png", png_bytes(Image.new("1", (side, side + i))))
    expected = {4000: 64, 70: 64, 3: 4}[side]
    assert f"dataset.resize={expected} " in refusal(source="image_folder", root=tmp_path)


def test_test_images_are_held_to_those_of_training(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[:, :20, :20], LABELS)
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in ("test/", "train/", "20x20", "28x28", "give resize"))


def test_a_class_of_test_images_alone_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[:4], [0, 1, 5, 5])
    message = refusal(source="image_folder", root=tmp_path)
    assert "test holds the class 5" in message
    assert "(0, 1, 2)" in message


def test_a_class_without_test_images_is_said(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[:4], [0, 2, 2, 0])
    splits = read_images("image_folder", root=tmp_path)
    assert held_out(splits).labels.tolist() == [0, 0, 2, 2]
    assert notes(splits) == ["classes without a test image: 1 (1)"]


LAYOUTS = {
    "train, validation and test": (
        ["train/a/0", "train/b/1", "val/a/2", "val/b/3", "test/a/4", "test/b/5"],
        ([0, 1], [4, 5], "left out: val/, since test images are there: 2"),
    ),
    "train and validation": (
        ["train/a/0", "train/b/1", "validation/a/2", "validation/b/3"],
        ([0, 1], [2, 3], "validation/ taken as the test images: 2"),
    ),
    "train alone": (["train/a/0", "train/b/1"], ([0, 1], None, None)),
    "other words": (
        ["Training/a/0", "Training/b/1", "Testing/a/2", "Testing/b/3"],
        ([0, 1], [2, 3], None),
    ),
    "training_set": (
        ["training_set/a/0", "training_set/b/1", "test_set/a/2", "test_set/b/3"],
        ([0, 1], [2, 3], None),
    ),
    "a folder below each class": (
        ["train/a/images/0", "train/b/images/1", "val/images/2"],
        ([0, 1], None, "left out: val/, which has no class folders: 1"),
    ),
    "a doubled top folder": (
        ["photos/a/0", "photos/b/1"],
        ([0, 1], None, "classes looked for in photos/"),
    ),
    "a doubled top folder of splits": (
        ["photos/train/a/0", "photos/train/b/1", "photos/test/a/2", "photos/test/b/3"],
        ([0, 1], [2, 3], "classes looked for in photos/"),
    ),
    "doubled splits": (
        ["train/train/a/0", "train/train/b/1", "test/test/2"],
        ([0, 1], None, "left out: test/, which has no class folders: 1"),
    ),
    "unlabelled test images": (
        ["train/a/0", "train/b/1", "test/2", "test/3"],
        ([0, 1], None, "left out: test/, which has no class folders: 2"),
    ),
    "unlabelled test images and labelled others": (
        ["train/a/0", "train/b/1", "test/2", "val/a/3", "val/b/4"],
        ([0, 1], [3, 4], "val/ taken as the test images: 2"),
    ),
    "another folder beside the splits": (
        ["train/a/0", "train/b/1", "unlabeled/2"],
        ([0, 1], None, "left out: unlabeled/, which is no split: 1"),
    ),
    "nested classes": (
        ["a/x/0", "a/y/1", "b/2"],
        ([0, 1, 2], None, "classes whose subfolders were joined: 1 (a)"),
    ),
    "an image beside the classes": (
        ["a/0", "b/1", "2"],
        ([0, 1], None, "left out: images beside the class folders: 1 (2.png)"),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_common_layouts_are_read_and_said(tmp_path: Path, grey: Pixels, layout: str) -> None:
    files, (train, test, said) = LAYOUTS[layout]
    write_named(tmp_path, grey[: len(files)], [f"{file}.png" for file in files])
    splits = read_images("image_folder", root=tmp_path)
    assert splits.train.class_names == ("a", "b")
    assert torch.equal(splits.train.images, planes(grey[train]))
    assert splits.train.labels.tolist() == sorted(splits.train.labels.tolist())
    if test is None:
        assert splits.test is None
    else:
        assert torch.equal(held_out(splits).images, planes(grey[test]))
    assert said is None or said in notes(splits)


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        (["one/a/0", "one/b/1", "two/a/2", "two/b/3"], ["one/a", "several datasets", "one, two"]),
        (["x/train/0", "y/train/1"], ["x/train, y/train", "several datasets"]),
        (["test/a/0", "test/b/1", "val/a/2", "val/b/3"], ["no train/"]),
        (["train/a/0", "training/a/1"], ["train, training", "one folder of each split"]),
        (["0", "1"], ["2 images without a class"]),
        (["train/0", "test/1"], ["2 images without a class", "train/"]),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused(
    tmp_path: Path, grey: Pixels, files: list[str], facts: list[str]
) -> None:
    write_named(tmp_path, grey[: len(files)], [f"{file}.png" for file in files])
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in facts), message


def test_linked_classes_are_read_and_links_in_a_circle_end(tmp_path: Path, grey: Pixels) -> None:
    store = write_folder(tmp_path / "store", grey, LABELS)
    view = tmp_path / "view"
    view.mkdir()
    for name in "012":
        (view / name).symlink_to(store / name)
    (store / "0" / "back").symlink_to(tmp_path)
    assert torch.equal(read_images("image_folder", root=view).train.images[:4], planes(grey[:4]))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["1", "10", "2"], ("1", "2", "10")),
        (["1", "10", "2", "x"], ("1", "10", "2", "x")),
        (["007", "1e3", "no"], ("007", "1e3", "no")),
    ],
)
def test_classes_that_are_numbers_stand_in_their_order(
    tmp_path: Path, grey: Pixels, names: list[str], order: tuple[str, ...]
) -> None:
    write_named(tmp_path, grey[: len(names)], [f"{name}/a.png" for name in names])
    train = read_images("image_folder", root=tmp_path).train
    assert train.class_names == order
    assert torch.equal(train.images, planes(grey[[names.index(name) for name in order]]))


def test_the_same_letters_are_the_same_class(tmp_path: Path, grey: Pixels) -> None:
    write(tmp_path / "train" / "cafe\u0301" / "a.png", png_bytes(grey[0]))
    write(tmp_path / "test" / "caf\u00e9" / "a.png", png_bytes(grey[1]))
    splits = read_images("image_folder", root=tmp_path)
    assert splits.train.class_names == held_out(splits).class_names == ("caf\u00e9",)


# ---- a table of labels


TABLES = {
    "names": ("", "image,label\n{0}.png,cat\n{1}.png,dog\n{2}.png,cat\n"),
    "ids and a semicolon": ("", "id;breed\n{0};cat\n{1};dog\n{2};cat\n"),
    "paths": ("pictures/", "path,class\npictures/{0}.png,cat\npictures/{1}.png,dog\n{2},cat\n"),
    "train": (
        "train/",
        "\ufeffFilename,Target,more\n{0}.png,cat,1\n{1}.png,dog,1\n{2}.png,cat,2\n",
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_a_table_labels_images_that_lie_flat(tmp_path: Path, grey: Pixels, form: str) -> None:
    folder, text = TABLES[form]
    write_named(tmp_path, grey[:4], [f"{folder}{name}.png" for name in "wxyz"])
    (tmp_path / "labels.csv").write_text(text.format(*"xyz"), encoding="utf-8")
    splits = read_images("image_folder", root=tmp_path)
    assert splits.train.class_names == ("cat", "dog")
    assert torch.equal(splits.train.images, planes(grey[[1, 3, 2]]))
    assert splits.train.labels.tolist() == [0, 0, 1]
    assert "left out: images without a row: 1 (w.png)" in notes(splits)


@pytest.mark.parametrize(
    ("tables", "label", "facts"),
    [
        (["file,label\nnowhere.png,cat\n"], None, ["none of the 1 rows", "a.png"]),
        (["file,label\na.png,cat\na.png,dog\n"], None, ["cat and dog", "one label per image"]),
        (["file,label\na.png,cat\n"] * 2, None, ["0.csv", "1.csv", "one such file"]),
        (["file,label\na.png,cat\n"], "kind", ["0.csv", "kind"]),
        (["file,note\na.png,cat\n"], None, ["2 images without a class"]),
    ],
)
def test_tables_that_give_no_labels_are_refused(
    tmp_path: Path, grey: Pixels, tables: list[str], label: str | None, facts: list[str]
) -> None:
    write_named(tmp_path, grey[:2], ["a.png", "b.png"])
    for i, text in enumerate(tables):
        (tmp_path / f"{i}.csv").write_text(text)
    message = refusal(source="image_folder", root=tmp_path, label=label)
    assert all(fact in message for fact in facts), message


def test_empty_or_missing_image_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / ".DS_Store", b"")
    assert "empty" in refusal(source="image_folder", root=tmp_path)
    assert str(tmp_path / "absent") in refusal(source="image_folder", root=tmp_path / "absent")
    assert "no folder" in refusal(source="image_folder", root=tmp_path / ".DS_Store")


def test_source_names_the_folder_whatever_way_it_is_written(
    tmp_path: Path, grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "mine", grey, LABELS)
    monkeypatch.chdir(root / "0")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = {
        read_images("image_folder", root=written).train.source
        for written in (root, str(root), "..", "~/mine")
    }
    assert len(found) == 1
    assert found.pop().startswith("image_folder mine (")


def test_two_folders_of_one_name_do_not_overwrite_each_other(tmp_path: Path, grey: Pixels) -> None:
    splits = [
        read_images("image_folder", root=write_folder(tmp_path / name / "train", rows, LABELS))
        for name, rows in (("flowers", grey), ("tools", grey[::-1]))
    ]
    splits[0].train.save(tmp_path / "images")
    splits[0].train.save(tmp_path / "images")
    with pytest.raises(InputError, match=r"holds image_folder train \(\w+\) and would"):
        splits[1].train.save(tmp_path / "images")


def test_names_that_are_no_letters_are_read_and_shown(tmp_path: Path, grey: Pixels) -> None:
    root = tmp_path / os.fsdecode(b"photos\xff")
    for i, name in enumerate((b"caf\xe9", b"b", b"a\nb")):
        write(root / os.fsdecode(name) / os.fsdecode(b"\xfe.png"), png_bytes(grey[i]))
    train = read_images("image_folder", root=root).train
    assert train.class_names == ("a\nb", "b", "caf%E9")
    assert train.names == ("a\nb/%FE.png", "b/%FE.png", "caf%E9/%FE.png")
    assert train.source.startswith("image_folder photos%FF (")
    (root / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xfe.png")).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"caf%E9/%FE\.png"):
        read_images("image_folder", root=root)

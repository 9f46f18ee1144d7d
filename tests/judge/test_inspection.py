"""A look at the data: what stands twice is named, and nothing else; flipped labels are doubted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.judge import inspection
from hvrt_diffuser.judge.inspection import doubtful, leaks_left_out, look, without_leaks
from hvrt_diffuser.judge.summary import _in_words

CPU = torch.device("cpu")
Splits = tuple[LabelledImages, LabelledImages]


@pytest.fixture(scope="module")
def splits(digits: LabelledImages) -> Splits:
    """4,000 and 1,000 real digits."""
    return hold_out(digits, 0.2, seed=0)


def moved(images: Tensor, down: int, right: int) -> Tensor:
    h, w = images.shape[2:]
    padded = F.pad(images.float(), (2, 2, 2, 2), mode="replicate").to(torch.uint8)
    return padded[:, :, 2 - down : 2 - down + h, 2 - right : 2 - right + w]


def encoded(images: Tensor, quality: int = 75) -> Tensor:
    """Grey images as JPEG, and back."""
    found = []
    for pixels in images[:, 0].numpy():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        found.append(torch.from_numpy(np.array(Image.open(file)))[None])
    return torch.stack(found)


def joined(*parts: LabelledImages) -> LabelledImages:
    return replace(
        parts[0],
        images=torch.cat([part.images for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        names=None,
    )


@pytest.fixture(scope="module")
def planted(splits: Splits) -> tuple[LabelledImages, LabelledImages, list[int]]:
    """Fifty leaks in an order that says nothing: the two sets, and their rows in the test set."""
    train, test = splits
    copied = train[torch.arange(0, 4000, 80)]
    images = torch.cat(
        [
            copied.images[:20],
            moved(copied.images[20:26], 0, 1),
            moved(copied.images[26:32], -1, -1),
            moved(copied.images[32:36], 2, -2),
            encoded(copied.images[36:]),
        ]
    )
    order = torch.randperm(1050, generator=torch.Generator().manual_seed(0))
    leaked = joined(test, replace(copied, images=images))[order]
    return train, leaked, sorted((order >= 1000).nonzero()[:, 0].tolist())


def test_planted_leaks_are_named_and_no_other_image(
    planted: tuple[LabelledImages, LabelledImages, list[int]],
) -> None:
    train, test, rows = planted
    found = look(train, test, seed=0)
    leaks = found["leaks"]
    assert leaks["rows"] == rows
    assert (leaks["exact"], leaks["near"], leaks["group"], leaks["two_labels"]) == (20, 30, 0, 0)
    assert sum(leaks["classes"].values()) == len(leaks["images"]) == 50
    assert {pair["train"] for pair in leaks["images"]} == {f"image {i}" for i in range(0, 4000, 80)}
    assert [found["duplicates"][name]["near"] for name in ("train", "test")] == [0, 0]
    kept = without_leaks(test, found)
    left = torch.tensor([row for row in range(1050) if row not in rows])
    assert torch.equal(kept.images, test.images[left])
    assert torch.equal(kept.labels, test.labels[left])
    assert "50 of 1050 test images" in leaks_left_out(test, found)
    assert "20 equal, 30 nearly equal" in leaks_left_out(test, found)
    json.dumps(found, allow_nan=False)


def test_real_digits_have_no_copies(splits: Splits) -> None:
    train, test = splits
    found = look(train, test, seed=0)
    assert found["leaks"]["rows"] == []
    assert without_leaks(test, found) is test
    assert leaks_left_out(test, found) == ""
    for part in found["duplicates"].values():
        nothing = {"exact": 0, "near": 0, "two_labels": 0, "pairs": []}
        assert part == {**nothing, "looked_at": None}


@pytest.mark.slow
def test_copies_that_cifar10_is_known_for_are_named(real_data: Path) -> None:
    """Barz and Denzler (arXiv 1902.00423) found copies across its splits; these are the closest."""
    splits = read_images("parquet", root=real_data / "cifar10")
    found = look(splits.train, splits.test, seed=0)
    assert found["leaks"]["rows"] == [355, 3944, 4215, 4553, 5297, 6338, 8504]
    assert found["leaks"]["images"][0]["train"] == "deer/2759.jpg"
    assert found["leaks"]["exact"] == found["leaks"]["two_labels"] == 0
    assert found["duplicates"]["train"]["near"] == 13


def test_a_look_depends_on_the_seed_alone(
    planted: tuple[LabelledImages, LabelledImages, list[int]],
    global_generators_untouched: Callable[[], AbstractContextManager[None]],
) -> None:
    train, test = planted[0][:500], planted[1][:300]
    with global_generators_untouched():
        assert look(train, test, seed=1) == look(train, test, seed=1)


@pytest.mark.parametrize("change", [lambda x: x, encoded, lambda x: moved(x, 1, 0)])
def test_a_test_set_that_is_the_training_set_is_refused(
    digits: LabelledImages, change: Callable[[Tensor], Tensor]
) -> None:
    train = digits[:500]
    test = replace(train, images=change(train.images))
    found = look(train, test, seed=0)
    assert found["leaks"]["rows"] == list(range(500))
    with pytest.raises(InputError, match=r"500 of 500 test images .* dataset\.group"):
        without_leaks(test, found)


def test_a_class_that_would_lose_all_its_test_images_is_refused(splits: Splits) -> None:
    train, test = splits
    sevens = train[train.labels == 7][:5]
    leaked = joined(test[test.labels != 7], sevens)
    with pytest.raises(InputError, match=r"5 of .* all of class 7"):
        without_leaks(leaked, look(train, leaked, seed=0))


def test_copies_within_a_set_are_named_with_their_classes(digits: LabelledImages) -> None:
    names = tuple(f"{i:03}.png" for i in range(300))
    first = replace(digits[:300], names=names)
    other = (first.labels[:1] + 1) % 10
    images = replace(
        joined(first, first[:2], replace(first[2:4], images=moved(first.images[2:4], 1, 1))),
        labels=torch.cat([first.labels, other, first.labels[1:4]]),
        names=(*names, "a.png", "b.png", "c.png", "d.png"),
    )
    found = look(images, None, seed=0)
    assert found["leaks"] is None
    assert found["duplicates"]["test"] is None
    train = found["duplicates"]["train"]
    assert (train["exact"], train["near"], train["two_labels"]) == (2, 2, 1)
    pairs = {tuple(sorted((pair["first"], pair["second"]))) for pair in train["pairs"]}
    expected = {("000.png", "a.png"), ("001.png", "b.png"), ("002.png", "c.png")}
    assert pairs == {*expected, ("003.png", "d.png")}
    assert train["pairs"][0]["classes"] == [str(int(other)), str(int(first.labels[0]))]
    assert train["pairs"][0]["distance"] == 0


def test_of_many_images_the_twins_of_some_are_looked_for_among_all(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = digits[:200]
    copies = replace(originals, images=moved(originals.images, 1, 1))
    images = joined(originals, copies)
    test = joined(digits[200:290], originals[:5])
    whole = look(images, test, seed=0)
    assert whole["duplicates"]["train"]["near"] == 200
    monkeypatch.setattr(inspection, "MOST", 80)
    some = look(images, test, seed=0)
    train = some["duplicates"]["train"]
    assert (train["looked_at"], some["duplicates"]["test"]["looked_at"]) == (80, 80)
    chosen = inspection._asked(400, 0, "train")
    assert chosen is not None
    assert train["near"] == len(set((chosen % 200).tolist()))  # each pair once
    assert some["leaks"]["exact"] == 5  # of all
    assert "of 80 images at random" in _in_words(some)[0]


def test_a_test_image_of_a_group_that_was_trained_on_is_a_leak(splits: Splits) -> None:
    train = replace(splits[0], groups=torch.arange(4000) // 4)
    groups = torch.arange(1000) + 1000
    groups[[3, 5]] = torch.tensor([17, 18])
    test = replace(splits[1], groups=groups)
    found = look(train, test, seed=0)
    assert found["leaks"]["rows"] == [3, 5]
    assert found["leaks"]["group"] == 2
    assert found["leaks"]["images"][0]["train"] == "image 68"
    assert found["leaks"]["images"][0]["distance"] is None
    assert found["groups"] == {"train": 1000, "test": 1000}
    assert "2 of the same group" in leaks_left_out(test, found)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_few_and_small_images_are_looked_at(n: int, size: int, channels: int) -> None:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n + 1, channels, size, size), generator=source).to(torch.uint8)
    images[:, 0, 0, 0] = torch.arange(n + 1)  # so that no two are equal
    labels = torch.zeros(n, dtype=torch.int64)
    train = LabelledImages(images[:n], labels, ("a", "b"), "noise")
    test = LabelledImages(images[-1:], labels[:1], ("a", "b"), "noise")
    for found in (look(train, test, seed=0), look(train, None, seed=0)):
        json.dumps(found, allow_nan=False)
        assert found["duplicates"]["train"]["exact"] == 0


def test_images_that_are_all_equal_are_repeats(digits: LabelledImages) -> None:
    same = digits[torch.zeros(300, dtype=torch.int64)]
    found = look(same, digits[1:50], seed=0)
    assert found["duplicates"]["train"]["exact"] == 299
    assert found["duplicates"]["train"]["near"] == 0
    assert len(found["duplicates"]["train"]["pairs"]) == 50
    assert found["leaks"]["rows"] == []


# ---- labels


def flipped(digits: LabelledImages, n: int, seed: int) -> tuple[LabelledImages, Tensor]:
    """Digits of which n have another label, and their rows."""
    source = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(digits), generator=source)[:n]
    labels = digits.labels.clone()
    labels[rows] = (labels[rows] + torch.randint(1, 10, (n,), generator=source)) % 10
    names = tuple(str(i) for i in range(len(digits)))
    return replace(digits, labels=labels, names=names), rows


def test_flipped_labels_are_doubted(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 % of the labels of 5,000 digits."""
    monkeypatch.setattr("hvrt_diffuser.judge.inspection.LISTED", 5000)
    images, rows = flipped(digits, 250, seed=0)
    found = doubtful(images, seed=0, device=CPU)
    named = {int(doubt["image"]): doubt for doubt in found["images"]}
    hits = named.keys() & set(rows.tolist())
    assert len(named) == found["n"]
    assert len(hits) / 250 >= 0.8
    assert len(hits) / len(named) >= 0.7
    true = [named[row]["likelier"] == str(int(digits.labels[row])) for row in hits]
    assert np.mean(true) >= 0.9
    assert all(named[row]["given"] == str(int(images.labels[row])) for row in hits)
    assert found["reason"] is None
    json.dumps(found, allow_nan=False)


def test_a_class_of_few_images_is_left_out(digits: LabelledImages) -> None:
    labels = digits.labels[:2000]
    few = digits[:2000][(labels < 3) | ((labels == 3) & ((labels == 3).cumsum(0) <= 19))]
    options = ClassifierOptions(width=4, steps=30, learning_rate=0.01, batch_size=64)
    found = doubtful(few, options, seed=0, device=CPU)
    assert found["left_out"] == ["3", "4", "5", "6", "7", "8", "9"]
    assert found["recognised"] > 0.9
    assert found["n"] is not None
    assert {doubt["given"] for doubt in found["images"]} <= {"0", "1", "2"}
    again = doubtful(few, options, seed=0, device=CPU)
    assert again == found


def test_large_images_are_doubted_by_what_is_seen_of_them_when_small(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "LONGEST", 28)
    few = digits[:600][digits.labels[:600] < 4]
    large = replace(few, images=few.images.repeat_interleave(5, 2).repeat_interleave(5, 3))
    options = ClassifierOptions(width=4, steps=20, batch_size=64, learning_rate=0.01)
    found = [doubtful(each, options, seed=0, device=CPU) for each in (few, large)]
    assert found[0]["recognised"] > 0.5
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: x[x.labels == 1], "1 of 10 classes have 20 images or more"),
        (lambda x: x[:60], "0 of 10 classes"),
        (lambda x: replace(x[:900], groups=torch.arange(900) % 3), "3 groups"),
    ],
)
def test_labels_that_cannot_be_doubted_say_why(
    digits: LabelledImages, make: Callable[[LabelledImages], LabelledImages], reason: str
) -> None:
    found = doubtful(make(digits), seed=0, device=CPU)
    assert found["n"] is None
    assert found["images"] == []
    assert reason in found["reason"]


def test_classifiers_that_recognise_little_doubt_nothing(digits: LabelledImages) -> None:
    source = torch.Generator().manual_seed(0)
    noise = replace(digits[:500], labels=torch.randint(10, (500,), generator=source))
    options = ClassifierOptions(width=4, steps=20, batch_size=64)
    found = doubtful(noise, options, seed=0, device=CPU)
    assert found["n"] is None
    assert "recognise" in found["reason"]


def test_groups_stay_within_a_fold(digits: LabelledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image stands twice, under one wrong label: with its twin trained on, none is doubted."""
    first, rows = flipped(digits[:1500], 75, seed=1)
    groups = torch.arange(1500).repeat(2)
    twice = replace(joined(first, first), names=tuple(map(str, groups.tolist())))
    monkeypatch.setattr("hvrt_diffuser.judge.inspection.LISTED", 3000)
    options = ClassifierOptions(width=8, steps=100, learning_rate=4e-3)
    found = doubtful(replace(twice, groups=groups), options, seed=0, device=CPU)
    named = {int(doubt["image"]) for doubt in found["images"]}
    assert len(named & set(rows.tolist())) / 75 >= 0.8

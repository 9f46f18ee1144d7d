"""Held-out test images: groups stay whole, classes stand on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.splitting import hold_out


@pytest.fixture(scope="module")
def bursts(digits: LabelledImages) -> LabelledImages:
    """600 digits in groups of 1 to 12 of one class, in no order."""
    source = np.random.default_rng(0)
    few = digits[:600]
    groups = np.empty(600, np.int64)
    for label in range(10):
        rows = np.flatnonzero(few.labels.numpy() == label)
        sizes = np.repeat(np.arange(100), source.integers(1, 13, 100))[: len(rows)]
        groups[rows] = 100 * label + sizes
    return replace(few, groups=torch.from_numpy(groups), names=tuple(map(str, range(600))))


def rows(images: LabelledImages) -> list[int]:
    assert images.names is not None
    return [int(name) for name in images.names]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.35, 0.5, 0.8])
def test_groups_never_straddle(bursts: LabelledImages, fraction: float, seed: int) -> None:
    train, test = hold_out(bursts, fraction, seed=seed)
    assert train.groups is not None
    assert test.groups is not None
    assert not set(train.groups.tolist()) & set(test.groups.tolist())
    assert sorted(rows(train) + rows(test)) == list(range(600))
    for part in (train, test):
        assert rows(part) == sorted(rows(part))
        assert set(part.labels.tolist()) == set(range(10))
        assert torch.equal(part.images, bursts.images[rows(part)])
    assert len(test) / 600 == pytest.approx(fraction, abs=0.06)


def test_a_group_may_hold_several_classes(bursts: LabelledImages) -> None:
    patients = replace(bursts, groups=torch.arange(600) % 40)
    train, test = hold_out(patients, 0.25, seed=0)
    assert set(rows(test)) == {
        i for i in range(600) if i % 40 in set((torch.tensor(rows(test)) % 40).tolist())
    }
    assert len(train) + len(test) == 600


def test_it_depends_on_the_seed_alone(bursts: LabelledImages) -> None:
    one, again, other = (rows(hold_out(bursts, 0.2, seed=seed)[1]) for seed in (0, 0, 1))
    assert one == again != other


def test_a_class_of_one_group_is_named(bursts: LabelledImages) -> None:
    assert bursts.groups is not None
    groups = torch.where(bursts.labels == 3, 300, bursts.groups)
    with pytest.raises(InputError, match=r"dataset\.group .* class 3 has 1 groups"):
        hold_out(replace(bursts, groups=groups), 0.2, seed=0)
    with pytest.raises(InputError, match=r"dataset\.group"):
        hold_out(replace(bursts, groups=torch.zeros(600, dtype=torch.int64)), 0.2, seed=0)


def test_equal_images_stand_on_one_side(digits: LabelledImages) -> None:
    few = digits[:100]
    rows = torch.cat([torch.arange(100), torch.arange(40), torch.arange(40)])
    images = few[rows]
    mislabelled = images.labels.clone()
    mislabelled[170] = (mislabelled[170] + 1) % 10
    train, test = hold_out(replace(images, labels=mislabelled), 0.2, seed=0)
    sides = [{pixels.numpy().tobytes() for pixels in side.images} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(train) + len(test) == 180
    assert len(sides[1]) == 20
    assert sorted(test.labels.unique().tolist()) == list(range(10))


def test_images_without_copies_are_split_as_scikit_learn_splits_them(
    digits: LabelledImages,
) -> None:
    few = replace(digits[:100], names=tuple(map(str, range(100))))
    seed = derive_seed(3, "dataset", "split") % 2**32
    labels = few.labels.numpy()
    expected = train_test_split(np.arange(100), test_size=0.2, stratify=labels, random_state=seed)
    assert [rows(side) for side in hold_out(few, 0.2, seed=3)] == [sorted(e) for e in expected]


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(2, 2, 2), (150, 150, 2), (1000, 5, 3), (3, 4, 2)])
def test_each_class_stands_on_both_sides(
    digits: LabelledImages, counts: tuple[int, ...], fraction: float
) -> None:
    n = sum(counts)
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    images = LabelledImages(digits.images[:n], labels, ("a", "b", "c"), "few")
    train, test = hold_out(images, fraction, seed=0)
    assert len(train) + len(test) == n
    for part in (train, test):
        assert set(part.labels.tolist()) == {0, 1, 2}
    assert abs(len(test) - fraction * n) <= 4


def test_classes_of_one_image_are_named(digits: LabelledImages) -> None:
    labels = torch.tensor([0] * 8 + [1] + [2])
    images = LabelledImages(digits.images[:10], labels, ("a", "b", "c"), "few")
    with pytest.raises(InputError, match=r"of 2 of 3 classes, .*: b \(1\), c \(1\)"):
        hold_out(images, 0.2, seed=0)


def test_a_class_of_one_picture_many_times_is_named(digits: LabelledImages) -> None:
    rows = torch.tensor([0, 1, 2, 3, 4, 4, 4, 4])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    images = LabelledImages(digits.images[rows], labels, ("a", "b"), "few")
    with pytest.raises(InputError, match=r"equal to others: b \(1\); .* or remove these classes"):
        hold_out(images, 0.5, seed=0)

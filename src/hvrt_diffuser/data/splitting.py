"""Test images held out of what a source brings, by class, and never part of a group."""

from __future__ import annotations

import hashlib
import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages

__all__ = ["first_equal", "hold_out"]

Rows = NDArray[np.int64]


def hold_out(
    images: LabelledImages, fraction: float, *, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Part images into those to train on and those to test on, each in the order that they had.

    Stratified by class; equal images stay together; groups stay whole, and then classes and the
    fraction are met as well as the groups allow.

    Args:
        images: n of them.
        fraction: of the images to test on, about.
        seed: of the choice.

    Raises:
        InputError: too few different images, or groups, of a class to stand on both sides.
    """
    part = _by_class if images.groups is None else _by_group
    train, test = part(images, fraction, derive_seed(seed, "dataset", "split") % 2**32)
    return images[torch.from_numpy(np.sort(train))], images[torch.from_numpy(np.sort(test))]


def _by_class(images: LabelledImages, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Of equal images the first is put on a side, and the others follow it."""
    first = first_equal(images)
    alone = np.unique(first)
    labels = images.labels.numpy()[alone]
    counts = np.bincount(labels, minlength=len(images.class_names))
    few = [f"{images.class_names[c]} ({counts[c]})" for c in np.flatnonzero(counts < 2)]
    if few:
        raise InputError(
            f"{images.source} cannot be split by class into training and test images: "
            f"{', '.join(few)} of {len(counts)} classes have fewer than 2 images that are no "
            "copies of another one, expected one for each side: add images, or leave the class out"
        )
    held = math.ceil(fraction * len(alone))
    if min(held, len(alone) - held) < len(counts):
        raise InputError(
            f"{images.source} cannot be split by class into training and test images: "
            f"dataset.test_fraction {fraction} of {len(alone)} different images are {held} test "
            f"images, expected one of each of {len(counts)} classes on both sides: add images, or "
            "change the fraction"
        )
    sides = train_test_split(alone, test_size=fraction, stratify=labels, random_state=seed)
    train, test = (np.flatnonzero(np.isin(first, side)) for side in sides)
    return train, test


def first_equal(images: LabelledImages) -> Rows:
    """Of each image the row of the first one with the same pixels, int64 (n,)."""
    seen: dict[bytes, int] = {}
    found = np.empty(len(images), np.int64)
    for row, pixels in enumerate(images.images.contiguous().numpy()):
        found[row] = seen.setdefault(hashlib.sha256(pixels).digest(), row)
    return found


def _by_group(images: LabelledImages, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Of folds with whole groups, the one that fits best as test images (or as training ones)."""
    assert images.groups is not None, "the caller has looked"
    labels, groups = images.labels.numpy(), images.groups.numpy()
    smaller = min(fraction, 1 - fraction)
    folds = min(round(1 / smaller), len(np.unique(groups)), np.bincount(labels).max())
    found = []
    if folds > 1:
        with warnings.catch_warnings():  # of classes with fewer images than folds: seen below
            warnings.simplefilter("ignore", UserWarning)
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            found = list(splitter.split(labels, labels, groups))
    if fraction > smaller:
        found = [(fold, rest) for rest, fold in found]
    whole = [
        (train, test)
        for train, test in found
        if all(set(labels[side]) == set(labels) for side in (train, test))
    ]
    if not whole:
        by_class = {images.class_names[c]: len(set(groups[labels == c])) for c in set(labels)}
        name = min(by_class, key=lambda name: by_class[name])
        raise InputError(
            f"{images.source} cannot be split by dataset.group so that each class stands in the "
            f"training and in the test images: class {name} has {by_class[name]} groups, expected "
            "several of each class; add some, or give an expression that makes smaller groups"
        )
    return min(whole, key=lambda sides: abs(len(sides[1]) / len(labels) - fraction))

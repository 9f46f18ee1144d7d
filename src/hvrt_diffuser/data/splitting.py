"""Test images held out of what a source brings, by class, and never part of a group."""

from __future__ import annotations

import hashlib
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
LISTED = 5  # classes in a sentence


def hold_out(
    images: LabelledImages, fraction: float, *, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Part images into those to train on and those to test on, each in the order that they had.

    Stratified by class, with an image of each on either side, for which the fraction gives way.
    Equal images stay together. Groups stay whole, and then classes and the fraction are met as well
    as the groups allow.

    Args:
        images: n of them.
        fraction: of the images to test on, about.
        seed: of the choice.

    Raises:
        InputError: too few images, or groups, of a class to stand on both sides.
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
    if counts.min() < 2:
        few = [f"{name} ({n})" for name, n in zip(images.class_names, counts, strict=True) if n < 2]
        with_equal = np.bincount(images.labels.numpy(), minlength=len(counts))[counts < 2]
        leave = "leave them out by dataset.min_class_size=2"
        raise InputError(
            f"{images.source} has fewer than two images of {len(few)} of {len(counts)} classes, "
            f"without those that are equal to others: {', '.join(few[:LISTED])}"
            f"{', ...' if len(few) > LISTED else ''}; expected one to train on and one to test on: "
            f"add images, or {leave if with_equal.max() < 2 else 'remove these classes'}"
        )
    tested = np.full(len(labels), fraction > 0.5)  # where there are too few for a share of each
    if len(counts) <= min(fraction, 1 - fraction) * len(labels):
        _, test = train_test_split(
            np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed
        )
        tested[:] = False
        tested[test] = True
    order = np.random.default_rng(seed).permutation(len(labels))
    for c in range(len(counts)):
        own = order[labels[order] == c]
        if tested[own].all() or not tested[own].any():  # a side without this class gets one
            tested[own[0]] = not tested[own[0]]
    follows = np.isin(first, alone[tested])
    return (~follows).nonzero()[0], follows.nonzero()[0]


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

"""Test images held out of what a source brings, by class, and never part of a group."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages

__all__ = ["hold_out"]

Rows = NDArray[np.int64]
LISTED = 5  # classes in a sentence


def hold_out(
    images: LabelledImages, fraction: float, *, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Part images into those to train on and those to test on, each in the order that they had.

    Stratified by class, with an image of each on either side, for which the fraction gives way.
    Groups stay whole, and then classes and the fraction are met as well as the groups allow.

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
    labels = images.labels.numpy()
    counts = np.bincount(labels, minlength=len(images.class_names))
    if counts.min() < 2:
        few = [f"{name} ({n})" for name, n in zip(images.class_names, counts, strict=True) if n < 2]
        raise InputError(
            f"{images.source} has fewer than two images of {len(few)} of {len(counts)} classes: "
            f"{', '.join(few[:LISTED])}{', ...' if len(few) > LISTED else ''}; expected one to "
            "train on and one to test on: add images, or leave these classes out by "
            "dataset.leave_out"
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
    return (~tested).nonzero()[0], tested.nonzero()[0]


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

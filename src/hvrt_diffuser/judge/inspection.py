"""A look at real images before anything is made of them: duplicates, leaks, doubtful labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from hvrt_diffuser.classifiers import ClassifierOptions, classify, train_classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.scratch import take_rows
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.averaging import averaged
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics.doubt import doubted_labels
from hvrt_diffuser.metrics.duplicates import (
    Pairs,
    Usual,
    equal_images,
    near_images,
    usual_distance,
)

__all__ = ["CLOSE", "doubtful", "leaks_left_out", "look", "without_leaks"]

Rows = NDArray[np.int64]

MOST = 2**16  # images whose near twins are looked for, at random where there are more
CLOSE = 0.2  # of the usual distance: all such pairs of CIFAR-10 are copies, and MNIST has none
LISTED = 50  # of each kind; the counts are complete
FOLDS = 4
LONGEST = 64  # pixels of a side, to which larger images are averaged down before labels are doubted
FEWEST = 20  # images of a class whose labels can be doubted
RECOGNISED = 0.7  # of images that the classifier was not trained on: below, its doubts are its own
EPOCHS, AT_A_STEP = 5, 128  # passes, and images of a step
STEPS = (150, 1000)


def look(train: LabelledImages, test: LabelledImages | None, *, seed: int) -> dict[str, Any]:
    """Equal and nearly equal images within the two sets, and test images that leaked.

    Images are nearly equal where their registered distance is below a fifth of that which an image
    usually has to the nearest other one: the median from test to training images or among training
    images, whichever is larger, so that a set full of copies does not set it. Of more than 65,536
    images of a set, the near twins of that many at random are looked for among all, so that time
    grows with the images and not with their pairs.

    Args:
        train: n images.
        test: m images of the same shape and classes, or None.
        seed: of the 1,000 images that say what is usual, and of those that are looked at.

    Returns:
        JSON. ``duplicates``: for ``train`` and ``test`` (None without one) how many images are
        ``exact`` repeats of an earlier one and how many pairs are ``near``, how many of both bear
        ``two_labels``, and the ``pairs``, most alike first, 50 at most. ``leaks`` (None without
        test images): how many test images equal a training image (``exact``), nearly do
        (``near``), or only share their ``group`` with one; how many of the first two bear
        ``two_labels``; their ``classes``, all ``rows`` among the test images, and ``images`` as
        ``pairs``. Of both, ``looked_at`` is how many images' near twins were looked for, None
        where all were. ``groups`` (None without): how many there are in ``train`` and ``test``. A
        ``distance`` is a share of the usual one. ``doubtful`` is None: see :func:`doubtful`.
    """
    repeats = {"train": equal_images(train.images)}
    alone = {"train": np.setdiff1d(np.arange(len(train)), repeats["train"].first)}
    sets = {"train": train}
    if test is not None:
        repeats["test"], sets["test"] = equal_images(test.images), test
        alone["test"] = np.setdiff1d(np.arange(len(test)), repeats["test"].first)
    distinct = {name: _at(images.images, alone[name]) for name, images in sets.items()}
    usual = _usual(distinct, seed)
    with progress("looking for duplicates", 2 * len(sets) - 1, "searches") as advance:
        duplicates: dict[str, Any] = {"train": None, "test": None}
        for name, images in sets.items():
            rows = alone[name]
            asked = _asked(len(rows), seed, name)
            near = _near(distinct[name], None, usual, asked)
            near = Pairs(rows[near.first], rows[near.second], near.distance)
            told = _describe_pairs(images, repeats[name], near)
            duplicates[name] = {**told, "looked_at": None if asked is None else len(asked)}
            advance("")
        leaks = None
        if test is not None:
            leaks = _leaks(train, test, alone["train"], distinct["train"], usual, seed)
        if test is not None:
            advance("")
    groups = {
        name: len(images.groups.unique())
        for name, images in sets.items()
        if images.groups is not None
    }
    return {"duplicates": duplicates, "leaks": leaks, "groups": groups or None, "doubtful": None}


def _usual(sets: dict[str, torch.Tensor], seed: int) -> Usual | None:
    """None where there is but one image."""
    train = sets["train"]
    found = [usual_distance(train, seed=seed)] if len(train) > 1 else []
    if "test" in sets:
        found.append(usual_distance(sets["test"], train, seed=seed))
    return Usual(*np.max(found, axis=0).tolist()) if found else None


def _at(images: torch.Tensor, rows: Rows) -> torch.Tensor:
    """These images; all of them are not copied."""
    return images if len(rows) == len(images) else take_rows(images, torch.from_numpy(rows))


def _asked(n: int, seed: int, name: str) -> torch.Tensor | None:
    """Some of n rows, ascending, where they are too many to look at each; else None."""
    if n <= MOST:
        return None
    order = torch.randperm(n, generator=generator(seed, "inspection", name))
    return order[:MOST].sort().values


def _near(
    images: torch.Tensor,
    others: torch.Tensor | None,
    usual: Usual | None,
    asked: torch.Tensor | None,
) -> Pairs:
    """Pairs that are nearly equal; their distances are shares of the usual one."""
    if usual is None or not len(images):
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    found = near_images(images, others, radius=CLOSE * usual.registered, usual=usual, asked=asked)
    return found._replace(distance=found.distance / (usual.registered or 1.0))


def _describe_pairs(images: LabelledImages, exact: Pairs, near: Pairs) -> dict[str, Any]:
    pairs = Pairs(
        np.concatenate([exact.first, near.first]),
        np.concatenate([exact.second, near.second]),
        np.concatenate([exact.distance, near.distance]),
    )
    labels = images.labels.numpy()
    return {
        "exact": len(exact.first),
        "near": len(near.first),
        "two_labels": int((labels[pairs.first] != labels[pairs.second]).sum()),
        "pairs": [
            {
                "first": images.place(int(i)),
                "second": images.place(int(j)),
                "classes": [images.class_names[labels[i]], images.class_names[labels[j]]],
                "distance": round(float(distance), 4),
            }
            for i, j, distance in _first(zip(*pairs, strict=True))
        ],
    }


def _first(found: Iterable[Any]) -> list[Any]:
    return list(found)[:LISTED]


def _leaks(
    train: LabelledImages,
    test: LabelledImages,
    alone: Rows,
    distinct: torch.Tensor,
    usual: Usual | None,
    seed: int,
) -> dict[str, Any]:
    """``distinct`` are the training images at ``alone``."""
    exact = equal_images(test.images, train.images)
    rest = np.setdiff1d(np.arange(len(test)), exact.first)
    asked = _asked(len(rest), seed, "leaks")
    near = _near(_at(test.images, rest), distinct, usual, asked)
    rows, which = np.unique(
        rest[near.first], return_index=True
    )  # of each the nearest, which is first
    near = Pairs(rows, alone[near.second[which]], near.distance[which])
    grouped: Rows = np.empty(0, np.int64)
    partner: dict[int, int] = {}
    if train.groups is not None and test.groups is not None:
        partner = {group: row for row, group in reversed(list(enumerate(train.groups.tolist())))}
        grouped = np.flatnonzero(np.isin(test.groups.numpy(), list(partner)))
        grouped = np.setdiff1d(grouped, np.concatenate([exact.first, near.first]))
    order = near.distance.argsort(kind="stable")
    found = [(*pair, distance) for *pair, distance in zip(*exact, strict=True)]
    found += list(zip(near.first[order], near.second[order], near.distance[order], strict=True))
    labels = [(int(test.labels[i]), int(train.labels[j])) for i, j, _ in found]
    if test.groups is not None:
        found += [(row, partner[int(test.groups[row])], None) for row in grouped]
    leaked = sorted(int(i) for i, *_ in found)
    counts = torch.bincount(test.labels[leaked], minlength=len(test.class_names)).tolist()
    return {
        "exact": len(exact.first),
        "near": len(near.first),
        "looked_at": None if asked is None else len(asked),
        "group": len(grouped),
        "two_labels": sum(a != b for a, b in labels),
        "classes": {
            name: count for name, count in zip(test.class_names, counts, strict=True) if count
        },
        "rows": leaked,
        "images": [
            {
                "test": test.place(int(i)),
                "train": train.place(int(j)),
                "classes": [
                    test.class_names[int(test.labels[i])],
                    train.class_names[int(train.labels[j])],
                ],
                "distance": None if distance is None else round(float(distance), 4),
            }
            for i, j, distance in _first(found)
        ],
    }


def without_leaks(test: LabelledImages, found: dict[str, Any]) -> LabelledImages:
    """The test images that did not leak.

    Args:
        test: the images that were looked at.
        found: by :func:`look`.

    Raises:
        InputError: most of them did, or all of a class.
    """
    rows = found["leaks"]["rows"]
    if not rows:
        return test
    kept = torch.ones(len(test), dtype=torch.bool)
    kept[rows] = False
    left = torch.bincount(test.labels[kept], minlength=len(test.class_names))
    gone = [test.class_names[c] for c in test.labels.unique().tolist() if not left[c]]
    if 2 * len(rows) > len(test) or gone:
        which = f", all of class {gone[0]} among them" if gone else ""
        raise InputError(
            f"{len(rows)} of {len(test)} test images of {test.source} stand in the training images "
            f"as well ({_kinds(found['leaks'])}){which}, expected images that were not trained on: "
            "give other test images, remove the copies, or give dataset.group where images belong "
            "together"
        )
    return test[kept]


def leaks_left_out(test: LabelledImages, found: dict[str, Any]) -> str:
    """One sentence on what :func:`without_leaks` left out; empty where that is nothing."""
    leaks = found["leaks"]
    if not leaks["rows"]:
        return ""
    classes = ", ".join(f"{name} {count}" for name, count in leaks["classes"].items())
    return (
        f"{len(leaks['rows'])} of {len(test)} test images of {test.source} stand in the training "
        f"images as well ({_kinds(leaks)}; by class: {classes}) and were left out of the test set"
    )


def _kinds(leaks: dict[str, Any]) -> str:
    words = {"exact": "equal", "near": "nearly equal", "group": "of the same group"}
    return ", ".join(f"{leaks[kind]} {word}" for kind, word in words.items() if leaks[kind])


def doubtful(
    images: LabelledImages,
    options: ClassifierOptions | None = None,
    *,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Labels that classifiers doubt which were trained on the other folds: confident learning.

    The classifiers see images of at most 64 pixels a side, to which larger ones are averaged down.

    Args:
        images: to train on and to doubt; folds keep their groups whole.
        options: of the classifiers; without, small ones that see each image about five times.
        seed: of the folds and the training.
        device: where to train.

    Returns:
        JSON: ``n`` doubted, ``share`` of those looked at, the most doubtful 50 as ``images``,
        classes ``left_out`` since they have fewer than 20 images, the share that the classifiers
        ``recognised``. Where nothing can be said, ``n`` is None and ``reason`` says why.
    """
    counts = torch.bincount(images.labels, minlength=len(images.class_names))
    classes = (counts >= FEWEST).nonzero()[:, 0]
    left_out = [images.class_names[c] for c in (counts < FEWEST).nonzero()[:, 0].tolist()]
    found: dict[str, Any] = {
        "n": None,
        "share": None,
        "images": [],
        "left_out": left_out,
        "recognised": None,
        "reason": None,
    }
    if len(classes) < 2:
        return found | {
            "reason": f"{len(classes)} of {len(counts)} classes have {FEWEST} images or more, "
            "expected at least 2"
        }
    rows = torch.isin(images.labels, classes).nonzero()[:, 0].numpy()
    numbers = torch.searchsorted(classes, images.labels)  # 0 ... of these classes
    labels = numbers[rows]
    groups = None if images.groups is None else images.groups.numpy()[rows]
    if groups is not None and len(np.unique(groups)) < FOLDS:
        return found | {
            "reason": f"{len(np.unique(groups))} groups cannot be put into {FOLDS} folds"
        }
    probabilities = _cross_fitted(
        averaged(images.images, LONGEST),
        numbers,
        rows,
        groups,
        len(classes),
        options,
        seed,
        device,
    )
    recognised = float((probabilities.argmax(1) == labels).double().mean())
    found["recognised"] = recognised
    if recognised < RECOGNISED:
        return found | {
            "reason": f"classifiers recognise {recognised:.0%} of the images that they were not "
            f"trained on, expected {RECOGNISED:.0%}: what they doubt says little of labels"
        }
    doubts = doubted_labels(probabilities.double().numpy(), labels.numpy())
    names = [images.class_names[c] for c in classes.tolist()]
    return found | {
        "n": len(doubts.rows),
        "share": len(doubts.rows) / len(rows),
        "images": [
            {
                "image": images.place(int(rows[row])),
                "given": names[int(labels[row])],
                "likelier": names[likelier],
                "probability": round(float(probability), 4),
            }
            for row, likelier, probability in _first(zip(*doubts, strict=True))
        ],
    }


def _cross_fitted(
    images: torch.Tensor,
    numbers: torch.Tensor,
    rows: Rows,
    groups: Rows | None,
    k: int,
    options: ClassifierOptions | None,
    seed: int,
    device: torch.device,
) -> torch.Tensor:
    """Class probabilities (n, k) of each of these rows, by a classifier that did not see it."""
    labels = numbers[rows]
    fold_seed = derive_seed(seed, "inspection", "folds") % 2**32
    folds = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = folds(FOLDS, shuffle=True, random_state=fold_seed)
    if options is None:
        steps = EPOCHS * len(labels) // AT_A_STEP
        options = ClassifierOptions(
            width=8, learning_rate=4e-3, steps=min(max(steps, STEPS[0]), STEPS[1])
        )
    probabilities = torch.empty(len(labels), k)
    for fold, (kept, held) in enumerate(splitter.split(labels, labels, groups)):
        model = train_classifier(
            images,
            numbers,
            k,
            options,
            seed=derive_seed(seed, "inspection", fold),
            device=device,
            rows=torch.from_numpy(rows[kept]),
        )
        probabilities[held] = classify(model, images, device, torch.from_numpy(rows[held]))[1]
    return probabilities

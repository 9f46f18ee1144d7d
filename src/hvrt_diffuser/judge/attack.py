"""Whether released images are copies, and whether they tell who was in the training set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.averaging import averaged
from hvrt_diffuser.judge.extractors import Extractor, pixels
from hvrt_diffuser.metrics import (
    Copies,
    Membership,
    blurred,
    closest_images,
    copies,
    membership,
    membership_scores,
    registered_nearest,
)

__all__ = ["attack", "copying"]

Distances = Callable[[Tensor, Tensor], NDArray[np.float64]]

FEWEST = 20  # test images, below which nothing can be told
MOST_ATTACKED = 5000  # members, non-members, and images of the attacker's reference, each
MOST_REGISTERED = 2000  # draws, fresh images, members and non-members, where they are registered
TURNS = (-10.0, -5.0, 5.0, 10.0)  # degrees
PER_CELL = 100  # fresh images of a cell, about
LEARNED_FROM = 10_000  # training images, where the cells are laid
LONGEST = 32  # pixels of a side, to which larger images are averaged down
SHOWN = 16  # nearest pairs


def attack(train: Tensor, test: Tensor, released: Tensor, *, seed: int) -> dict[str, Any]:
    """How well an attacker with the released images tells training images from others.

    Members are one half of the training images, and non-members are test images. The attacker
    knows the other half of the training images, beside which the released ones are looked at: a
    reference of test images would take for a leak whatever sets the two apart, such as who wrote
    them. The attack is made in pixels, in blurred pixels and by registered distance, none of which
    a training image shaped; the strongest is told, by AUC and by true positives each.

    Args:
        train: uint8 (n, c, h, w), what the generator was made from.
        test: uint8 (m, c, h, w), which it never saw.
        released: uint8 (k, c, h, w), all images that are given away.
        seed: of who is attacked.

    Returns:
        JSON: the fields of :class:`Membership`, the ``features`` of the largest AUC, all
        ``by_features``, and a ``reason`` where something could not be told, else None.
    """
    if min(len(test), len(train)) < FEWEST or not len(released):
        return {
            **dict.fromkeys(Membership._fields),
            "features": None,
            "by_features": {},
            "reason": _too_few(train, test, released),
        }
    order = _order(len(train), seed, "members").split([len(train) // 2, -(-len(train) // 2)])
    members, reference = (averaged(train[at[:MOST_ATTACKED]], LONGEST) for at in order)
    others = averaged(test[_order(len(test), seed, "non-members")[:MOST_ATTACKED]], LONGEST)
    seen = averaged(released, LONGEST)
    found = {}
    for name, (distances, most) in _attacks().items():
        of_members, of_others = (
            membership_scores(distances(asked[:most], reference), distances(asked[:most], seen))
            for asked in (members, others)
        )
        found[name] = membership(of_members, of_others, len(released))
    strongest = max(found, key=lambda name: found[name].auc_low)
    told = found[strongest]._asdict()
    reason = None
    if told["tpr_at_1"] is None:
        reason = f"{len(others)} non-members are too few to tell what is found with 1% false alarms"
    else:  # the attack of the best AUC need not be the one that finds most with few false alarms
        sharpest = max(found.values(), key=lambda own: own.tpr_low or 0.0)
        told |= {key: getattr(sharpest, key) for key in ("tpr_at_1", "tpr_low", "tpr_high")}
    return {
        **told,
        "features": strongest,
        "by_features": {name: of._asdict() for name, of in found.items()},
        "reason": reason,
    }


def copying(train: Tensor, test: Tensor, released: Tensor, *, seed: int) -> dict[str, Any]:
    """How near released images come to training images, beside fresh ones.

    Distances are registered, over shifts of up to 2 pixels (of 32 along the longer side, where
    images are larger), turns of up to 10 degrees and the mirror image, for fresh images as for
    draws.

    Args: as for :func:`attack`.

    Returns:
        JSON: the fields of :class:`Copies`; ``exact``, how many of all released images are a
        training image, and ``repeats``, how many are an earlier released image; ``draws`` and
        ``fresh``, the ``place`` of each that was compared in its set, its ``nearest`` training
        image and their ``distance``; ``nearest``, the nearest such pairs of draws; and a ``reason``
        where something could not be told, else None.
    """
    known, given = set(_hashes(train)), _hashes(released)
    counted = {
        "exact": sum(x in known for x in given),
        "repeats": len(given) - len(set(given)),
    }
    if min(len(test), len(train), len(released)) < FEWEST:
        return {
            **dict.fromkeys(Copies._fields),
            **counted,
            "draws": None,
            "fresh": None,
            "nearest": [],
            "reason": _too_few(train, test, released),
        }
    reference = averaged(train, LONGEST)
    compared = {}
    for name, images in (("draws", released), ("fresh", test)):
        place = _order(len(images), seed, name)[:MOST_REGISTERED]
        compared[name] = (place, averaged(images[place], LONGEST))
    cells = _cells(reference, [x for _, x in compared.values()], seed)
    found = {}
    for name, (place, images) in compared.items():
        nearest, distance = _registered(images, reference)
        found[name] = {"place": place.numpy(), "nearest": nearest, "distance": distance}
    result = copies(found["draws"]["distance"], found["fresh"]["distance"], *cells)
    missing = " and ".join(name for name in ("tail", "ct") if getattr(result, name) is None)
    return {
        **result._asdict(),
        **counted,
        **{name: {key: x.tolist() for key, x in of.items()} for name, of in found.items()},
        "nearest": [
            {key: x[i].item() for key, x in found["draws"].items()}
            for i in np.argsort(found["draws"]["distance"], kind="stable")[:SHOWN]
        ],
        "reason": f"{result.n_fresh} fresh images are too few for {missing}" if missing else None,
    }


def _too_few(train: Tensor, test: Tensor, released: Tensor) -> str:
    return (
        f"{len(train)} training, {len(test)} test and {len(released)} released images are too few "
        f"to tell: {FEWEST} of each are needed"
    )


def _order(n: int, seed: int, what: str) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "attack", what))


def _attacks() -> dict[str, tuple[Distances, int]]:
    """By what distance it is judged how near released images are, and for how many at most."""
    return {
        "pixels": (partial(_distances, pixels), MOST_ATTACKED),
        "blurred": (partial(_distances, blurred), MOST_ATTACKED),
        "registered": (lambda *sets: _registered(*sets)[1], MOST_REGISTERED),
    }


def _distances(features: Extractor, images: Tensor, reference: Tensor) -> NDArray[np.float64]:
    """From each image to the nearest of the reference; 0 for a copy."""
    found = closest_images(images, reference, features, 1)[:, 0]
    parts = zip(images.split(1000), torch.from_numpy(found).split(1000), strict=True)
    differences = (features(x).astype(np.float64) - features(reference[at]) for x, at in parts)
    return np.concatenate([np.sqrt(np.square(x).sum(axis=1)) for x in differences])


def _registered(images: Tensor, reference: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest training image, upright or mirrored, and its registered distance."""
    both = [registered_nearest(x, reference, turns=TURNS) for x in (images, images.flip(3))]
    (upright, distance), (mirrored, of_mirrored) = both
    return np.where(of_mirrored < distance, mirrored, upright), np.minimum(distance, of_mirrored)


def _cells(reference: Tensor, sets: list[Tensor], seed: int) -> list[NDArray[np.int32]]:
    """Which part of the space each image of the sets stands in; fresh ones are the last set."""
    some = reference[_order(len(reference), seed, "cells")[:LEARNED_FROM]]
    k = min(max(len(sets[-1]) // PER_CELL, 1), len(some))
    model = KMeans(k, n_init=1, random_state=derive_seed(seed, "attack", "cells") % 2**32)
    model.fit(blurred(some))
    return [model.predict(blurred(images)) for images in sets]


def _hashes(images: Tensor) -> list[bytes]:
    return [hashlib.sha256(x.data).digest() for x in images.contiguous().numpy()]

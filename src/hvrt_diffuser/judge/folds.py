"""Real images parted into folds, where too few were held out to test on."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages

__all__ = ["FOLDS", "kept_counts", "outside", "part", "pooled"]

FOLDS = 5


def pooled(train: LabelledImages, test: LabelledImages) -> LabelledImages:
    """All real images together, the training images first."""
    grouped = train.groups is not None and test.groups is not None
    return replace(
        train,
        images=torch.cat([train.images, test.images]),
        labels=torch.cat([train.labels, test.labels]),
        names=None,
        groups=torch.cat([train.groups, test.groups]) if grouped else None,  # type: ignore[list-item]
    )


def part(pool: LabelledImages, *, seed: int) -> Tensor:
    """The fold of each image, int64 (n,), even by class; groups stay whole.

    Raises:
        InputError: too few images of every class.
    """
    labels = pool.labels.numpy()
    random_state = derive_seed(seed, "tstr", "folds") % 2**32
    kind = StratifiedKFold if pool.groups is None else StratifiedGroupKFold
    groups = None if pool.groups is None else pool.groups.numpy()
    fold_of = torch.zeros(len(pool), dtype=torch.long)
    try:
        with warnings.catch_warnings():  # of a class with fewer images than folds: no matter
            warnings.simplefilter("ignore", UserWarning)
            splitter = kind(FOLDS, shuffle=True, random_state=random_state)
            for fold, (_, inside) in enumerate(splitter.split(labels, labels, groups)):
                fold_of[torch.from_numpy(inside)] = fold
    except ValueError as error:
        raise InputError(
            f"{len(pool)} real images of {len(np.unique(labels))} classes cannot be parted into "
            f"{FOLDS} folds, expected at least {FOLDS} images of a class: add images"
        ) from error
    return fold_of


def kept_counts(pool: LabelledImages, fold_of: Tensor) -> Tensor:
    """Images of each class outside every fold, as many as outside the fold that leaves fewest."""
    k = len(pool.class_names)
    inside = torch.stack(
        [torch.bincount(pool.labels[fold_of == fold], minlength=k) for fold in range(FOLDS)]
    )
    return torch.bincount(pool.labels, minlength=k) - inside.amax(dim=0)


def outside(pool: LabelledImages, fold_of: Tensor, fold: int) -> LabelledImages:
    """The other folds, of each class as many images for every fold: :func:`kept_counts`."""
    rows = (fold_of != fold).nonzero()[:, 0]
    labels = pool.labels[rows]
    kept = [rows[labels == c][:m] for c, m in enumerate(kept_counts(pool, fold_of).tolist())]
    return pool[torch.cat(kept).sort().values]

"""Nodes of ``data_ingest``."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits
from hvrt_diffuser.pipelines.data_ingest.parameters import DatasetOptions

__all__ = ["split_images"]


def split_images(
    raw_images: ImageSplits, dataset: DatasetOptions, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images: those of the source, or a stratified split of what it has.

    Raises:
        InputError: a class without images, or too few images to split.
    """
    everything, test = raw_images.train, raw_images.test
    counts = torch.bincount(everything.labels, minlength=len(everything.class_names))
    if (counts == 0).any():
        empty = int((counts == 0).nonzero()[0])
        raise InputError(
            f"{everything.source} has no training image of class {empty} "
            f"({everything.class_names[empty]}), expected some of each: add them or leave the "
            "class out"
        )
    if test is not None:
        return everything, test
    try:
        train_rows, test_rows = train_test_split(
            np.arange(len(everything)),
            test_size=dataset.test_fraction,
            stratify=everything.labels.numpy(),
            random_state=derive_seed(seed, "dataset", "split") % 2**32,
        )
    except ValueError as error:
        raise InputError(
            f"{everything.source} cannot be split by class into training and test images with "
            f"dataset.test_fraction {dataset.test_fraction}: {error} Add images, or change the "
            "fraction"
        ) from error
    return (
        everything[torch.from_numpy(np.sort(train_rows))],
        everything[torch.from_numpy(np.sort(test_rows))],
    )

"""Nodes of ``data_ingest``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits, Note, as_table, summarise_images
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.judge.inspection import leaks_left_out, look, without_leaks
from hvrt_diffuser.pipelines.data_ingest.parameters import DatasetOptions

__all__ = ["split_images"]

logger = logging.getLogger(__name__)


def split_images(
    raw_images: ImageSplits, dataset: DatasetOptions, seed: int
) -> tuple[LabelledImages, LabelledImages, dict[str, Any]]:
    """Training images, test images without leaks, and what was seen of them.

    That is JSON: the duplicates and leaks that were found, and as ``ingest`` which files became
    which images, which is logged as a table.

    The test images are those of the source, or a part held out of what it has; rows of test images
    in what was found count before leaks are left out.

    Raises:
        InputError: a class without images, too few images to split, or a test set that stands in
            the training images.
    """
    train, test = raw_images.train, raw_images.test
    counts = torch.bincount(train.labels, minlength=len(train.class_names))
    if (counts == 0).any():
        empty = int((counts == 0).nonzero()[0])
        raise InputError(
            f"{train.source} has no training image of class {empty} "
            f"({train.class_names[empty]}), expected some of each: add them or leave the "
            "class out"
        )
    notes = list(raw_images.notes)
    train, test = _large_enough(train, test, dataset.min_class_size)
    if small := [name for name in raw_images.train.class_names if name not in train.class_names]:
        notes.append(Note.of("classes left out by min_class_size", small))
    if test is None:
        train, test = hold_out(train, dataset.test_fraction, seed=seed)
        notes.append(
            Note(f"held out for testing (test_fraction {dataset.test_fraction})", len(test))
        )
    found = look(train, test, seed=seed)
    kept = without_leaks(test, found)
    if sentence := leaks_left_out(test, found):
        logger.warning("%s; data_look.json in the run's folder of reports lists them", sentence)
        notes.append(Note("test images left out, which stand in training", len(test) - len(kept)))
    copies = sum(found["duplicates"][split]["exact"] for split in ("train", "test"))
    if copies:
        notes.append(Note("images that equal an earlier one of their split", copies))
    ingest = summarise_images(train, kept, notes)
    logger.info("%s", as_table(ingest))
    return train, kept, {**found, "ingest": ingest}


def _large_enough(
    train: LabelledImages, test: LabelledImages | None, least: int
) -> tuple[LabelledImages, LabelledImages | None]:
    """Without the classes that have fewer images in both splits together."""
    names = train.class_names
    counts = torch.bincount(train.labels, minlength=len(names))
    if test is not None:
        counts = counts + torch.bincount(test.labels, minlength=len(names))
    kept = (counts >= least).nonzero()[:, 0]
    if len(kept) == len(names):
        return train, test
    if not len(kept):
        raise InputError(
            f"the largest class of {train.source} has {int(counts.max())} images, expected at "
            f"least {least} by dataset.min_class_size: lower it"
        )
    left = [f"{name} ({n})" for name, n in zip(names, counts.tolist(), strict=True) if n < least]
    logger.warning("left out, with fewer images than min_class_size: %s", ", ".join(left))
    place = torch.full((len(names),), -1).index_copy(0, kept, torch.arange(len(kept)))

    def without(images: LabelledImages) -> LabelledImages:
        own = images[place[images.labels] >= 0]
        labels = place[own.labels]
        return replace(own, labels=labels, class_names=tuple(names[c] for c in kept.tolist()))

    return without(train), None if test is None else without(test)

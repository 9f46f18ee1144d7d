"""Images that belong together, by a key that a source finds for each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["grouped"]


def grouped(
    splits: ImageSplits, train_keys: Sequence[Hashable], test_keys: Sequence[Hashable], by: str
) -> ImageSplits:
    """The same images; those with the same key belong together, in both splits.

    Args:
        splits: of a source.
        train_keys: one per training image.
        test_keys: one per test image.
        by: what gave the keys, for a message.

    Raises:
        InputError: there is one key for all of them.
    """
    numbers = {key: i for i, key in enumerate(dict.fromkeys([*train_keys, *test_keys]))}
    if len(numbers) == 1:
        raise InputError(
            f"dataset.group {by} puts all images of {splits.train.source} into one group, "
            f"{next(iter(numbers))!r}, expected several, none of which is split: correct it"
        )
    train, test = (
        images and replace(images, groups=torch.tensor([numbers[key] for key in keys]))
        for images, keys in ((splits.train, train_keys), (splits.test, test_keys))
    )
    assert train is not None, "every source has training images"
    return replace(splits, train=train, test=test)

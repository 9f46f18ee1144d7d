"""The training sets that TSTR compares, each drawn anew for a repetition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.errors import InputError
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.samplers import LatentSampler
from hvrt_diffuser.seeding import generator

__all__ = ["Row", "all_images", "decoded", "equal_n", "even_labels"]

Row = Callable[[int], tuple[Tensor, Tensor]]
"""From a seed to training images uint8 (n, c, h, w) and labels int64 (n,)."""


def even_labels(n: int, n_classes: int) -> Tensor:
    """As many labels as asked for, as even as they can be; int64 (n,)."""
    return torch.arange(n) % n_classes


def all_images(train: LabelledImages) -> Row:
    """All real training images."""
    return lambda seed: (train.images, train.labels)


def equal_n(train: LabelledImages, n: int) -> Row:
    """Of the real training images n, even by class, without repetition.

    Raises:
        InputError: a class has too few.
    """
    wanted = torch.bincount(even_labels(n, len(train.class_names)))
    counts = torch.bincount(train.labels, minlength=len(wanted))
    if (counts < wanted).any():
        short = int((counts < wanted).nonzero()[0])
        raise InputError(
            f"class {train.class_names[short]} has {int(counts[short])} training images, expected "
            f"{int(wanted[short])} for tstr.n = {n}: set tstr.n to at most "
            f"{int(counts.min()) * len(wanted)}"
        )

    def row(seed: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(train), generator=generator(seed, "tstr", "equal_n"))
        labels = train.labels[order]
        rows = torch.cat([order[labels == c][:m] for c, m in enumerate(wanted.tolist())])
        return train.images[rows], train.labels[rows]

    return row


def decoded(autoencoder: Autoencoder, sampler: LatentSampler, n: int, device: torch.device) -> Row:
    """Images decoded from a sampler's latents, even by class."""
    diffuser = HVRTDiffuser(autoencoder, sampler, device)
    labels = even_labels(n, sampler.n_classes)

    def row(seed: int) -> tuple[Tensor, Tensor]:
        batches = list(diffuser.stream(n, labels, seed=seed))
        return torch.cat([images for images, _ in batches]), labels

    return row

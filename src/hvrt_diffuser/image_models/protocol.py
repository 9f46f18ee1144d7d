"""What a whole model of images can do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.requests import check_generator, check_requested_labels

__all__ = ["ImageGenerator", "check_images", "hash_images", "requested_labels"]


class ImageGenerator(Protocol):
    """A distribution over images and their labels, fitted to real ones."""

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for a model that knows none."""

    @property
    def counts(self) -> Tensor:
        """int64 (k,), the number of images of each class that it was fitted on."""

    @property
    def device(self) -> torch.device:
        """Where it draws, which the generator has to be on, too."""

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw n images uint8 (n, c, h, w) and their labels int64 (n,).

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each image; None draws from all classes in the
                proportions of the real images.
            generator: the only source of randomness.

        Raises:
            InputError: n below 1, labels of another length, an unknown class, or a generator of
                another device.
        """

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""


def check_images(images: Tensor, labels: Tensor) -> Tensor:
    """Check images uint8 (n, c, h, w) and labels int64 (n,) before a fit.

    Returns:
        int64 (k,), the number of images of each class.

    Raises:
        InputError: shapes or types that do not fit, or classes that are not 0 ... k-1.
    """
    if images.ndim != 4 or images.dtype != torch.uint8 or labels.shape != images.shape[:1]:
        raise InputError(
            f"images of shape {tuple(images.shape)} and type {images.dtype} and labels of shape "
            f"{tuple(labels.shape)} were given, expected uint8 (n, c, h, w) and (n,): give one "
            "label per image"
        )
    counts = torch.bincount(labels)
    if len(counts) == 0 or not counts.all():
        raise InputError(
            f"labels take the values {labels.unique().tolist()[:12]}, expected every class from 0 "
            "to k-1 to occur: renumber the labels or add images of the missing classes"
        )
    return counts


def hash_images(images: Tensor, labels: Tensor) -> str:
    """SHA-256 of pixels and labels: what a training that is gone on with must share."""
    found = hashlib.sha256(images.cpu().numpy().tobytes())
    found.update(labels.cpu().numpy().tobytes())
    return found.hexdigest()


def requested_labels(
    n: int, labels: Tensor | None, counts: Tensor, generator: torch.Generator
) -> Tensor:
    """The labels int64 (n,) that were asked for, or some in the proportions of ``counts`` (k,).

    Raises:
        InputError: see :meth:`ImageGenerator.sample`.
    """
    check_requested_labels(n, labels, len(counts))
    check_generator(generator, counts.device)
    if labels is not None:
        return labels.to(counts.device)
    ends = counts.cumsum(0)
    total = int(ends[-1])
    place = torch.randint(total, (n,), generator=generator, device=generator.device)
    return torch.bucketize(place, ends, right=True)

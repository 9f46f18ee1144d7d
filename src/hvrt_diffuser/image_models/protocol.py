"""What every whole model of images can do, and what it is trained by."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.estimator import Estimator
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.common.stored import Stored, load_stored
from hvrt_diffuser.common.tensor_file import bytes_of
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = [
    "ImageModel",
    "ImageModelEstimator",
    "check_images",
    "hash_images",
    "load_image_model",
    "requested_labels",
]


class ImageModel(Stored, ABC):
    """A distribution over images and their labels, fitted to real ones.

    A subclass is a frozen dataclass, which has at least what stands below, as fields or
    properties, and :meth:`sample`. Moving and writing it is done for it, see :class:`Stored`.
    """

    file_kind: ClassVar[str] = "image model"

    if TYPE_CHECKING:  # else they would be the defaults of fields of the same names

        @property
        def counts(self) -> Tensor:
            """int64 (k,), the number of images of each class that it was fitted on."""

        @property
        def origin(self) -> dict[str, Any]:
            """What it was fitted by."""

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for a model that knows none."""
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        """Where it draws, which the generator has to be on, too."""
        return self.counts.device

    @abstractmethod
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


class ImageModelEstimator(Estimator):
    """What a whole model of images is trained by."""

    kind: ClassVar[str] = "images"
    network: ClassVar[bool] = True

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """Check images uint8 (n, c, h, w) and labels int64 (n,) before a fit.

        Returns:
            int64 (k,), the number of images of each class.

        Raises:
            InputError: shapes or types that do not fit, or classes that are not 0 ... k-1.
        """
        return check_images(images, labels)

    @property
    def labelled(self) -> bool:
        """Whether it learns classes, so that images of one can be asked for."""
        return True

    def as_long_on(self, n: int, n_all: int) -> Self:
        """The same, to take as many optimiser steps on n images as it would on n_all."""
        return self

    def shortened(self, share: float) -> Self:
        """The same with this share of its ``training_steps``, at least one: to try options by."""
        steps = self.model_dump()["training_steps"]
        return self.model_copy(update={"training_steps": max(1, round(share * steps))})

    @abstractmethod
    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> ImageModel:
        """Train on images uint8 (n, c, h, w) and labels int64 (n,).

        Args:
            images: in memory.
            labels: every class from 0 to k-1.
            seed: of everything random in the training.
            device: where to train and to draw.
            checkpoint: where to keep the state of a training that goes on where it was cut off.

        Raises:
            InputError: images or labels that do not fit, a package that is missing, or a
                checkpoint of another setting.
            FloatingPointError: the loss became infinite or NaN.
        """

    def adapt(self, fitted: Any) -> ImageModel:
        """A fitted model with the options of this estimator that matter for drawing alone.

        Args:
            fitted: by an estimator that differs in :attr:`drawing` alone, with the same seed.
        """
        model: ImageModel = fitted
        return model

    def bound(self, model: Any, images: Tensor, labels: Tensor, seed: int) -> float | None:
        """-ELBO of images, made binary, in nats per image; None for a model without one.

        Args:
            model: that it has fitted.
            images: uint8 (n, c, h, w).
            labels: int64 (n,), which may help to bound, and are no part of what is bounded.
            seed: of posterior draws.
        """
        return None


def load_image_model(path: str | Path) -> ImageModel:
    """Read what the ``save`` of a whole model wrote, onto the CPU.

    Raises:
        InputError: see :func:`hvrt_diffuser.common.stored.load_stored`.
    """
    model: ImageModel = load_stored(path, ImageModel.file_kind)
    return model


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
    found = hashlib.sha256(bytes_of(images.cpu().contiguous()))
    found.update(bytes_of(labels.cpu().contiguous()))
    return found.hexdigest()


def requested_labels(
    n: int, labels: Tensor | None, counts: Tensor, generator: torch.Generator
) -> Tensor:
    """The labels int64 (n,) that were asked for, or some in the proportions of ``counts`` (k,).

    Raises:
        InputError: see :meth:`ImageModel.sample`.
    """
    check_requested_labels(n, labels, len(counts))
    check_generator(generator, counts.device)
    if labels is not None:
        return labels.to(counts.device)
    ends = counts.cumsum(0)
    total = int(ends[-1])
    place = torch.randint(total, (n,), generator=generator, device=generator.device)
    return torch.bucketize(place, ends, right=True)

"""The training sets that TSTR compares, each drawn anew for a repetition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    AutoencoderEstimator,
    TrainingOptions,
    decode_latents,
    encode_augmented,
    encode_images,
)
from hvrt_diffuser.common.engine import TaskKind, current
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import AUTOENCODER_FILE, SAMPLER_FILE, HVRTDiffuser, load_generator

__all__ = [
    "FitPerSeed",
    "Row",
    "all_images",
    "both",
    "copied",
    "drawn",
    "enough",
    "equal_n",
    "even_labels",
    "even_within",
    "fit_on_few",
    "fit_on_few_by_engine",
    "fixed",
    "some_of",
]

Row = Callable[[int], tuple[Tensor, Tensor]]
"""From a seed to training images uint8 (n, c, h, w) and labels int64 (n,)."""


def even_labels(n: int, n_classes: int) -> Tensor:
    """As many labels as asked for, as even as they can be; int64 (n,)."""
    return torch.arange(n) % n_classes


def fixed(images: Tensor, labels: Tensor) -> Row:
    """The same images for every seed."""
    return lambda seed: (images, labels)


def all_images(train: LabelledImages) -> Row:
    """All real training images."""
    return fixed(train.images, train.labels)


def enough(train: LabelledImages, n: int) -> bool:
    """Whether every class has the images that n, even by class, take."""
    wanted, counts = _by_class(train, n)
    return not (counts < wanted).any()


def _by_class(train: LabelledImages, n: int) -> tuple[Tensor, Tensor]:
    """Images of each class that n take, and that there are; int64 (k,)."""
    k = len(train.class_names)
    return torch.bincount(even_labels(n, k), minlength=k), torch.bincount(train.labels, minlength=k)


def equal_n(train: LabelledImages, n: int) -> Row:
    """Of the real training images n, even by class, without repetition.

    Raises:
        InputError: a class has too few.
    """
    wanted, counts = _by_class(train, n)
    if not enough(train, n):
        short = int((counts < wanted).nonzero()[0])
        raise InputError(
            f"class {train.class_names[short]} has {int(counts[short])} training images, expected "
            f"{int(wanted[short])} for {n} images that are even by class: ask for at most "
            f"{int(counts.min()) * len(wanted)}"
        )

    return some_of(train, wanted)


def some_of(images: LabelledImages, counts: Tensor) -> Row:
    """As many images of each class as ``counts`` says, int64 (k,), without repetition."""

    def row(seed: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(images), generator=generator(seed, "tstr", "equal_n"))
        labels = images.labels[order]
        rows = torch.cat([order[labels == c][:m] for c, m in enumerate(counts.tolist())])
        return images.images[rows], images.labels[rows]

    return row


def even_within(counts: Tensor, n: int) -> Tensor:
    """How many of each class to take for n in all, as even as the ``counts`` there are; int64 (k,).

    ``n`` is at most their sum.
    """
    taken = torch.zeros_like(counts)
    while left := n - int(taken.sum()):
        open_ = (taken < counts).nonzero()[:left, 0]
        each = max(1, left // len(open_))
        taken[open_] += (counts - taken)[open_].clamp(max=each)
    return taken


def drawn(
    generator: HVRTDiffuser, n: int, device: torch.device, labels: Tensor | None = None
) -> Row:
    """Synthetic images, with the labels int64 (n,) or else even by class."""
    generator = HVRTDiffuser(generator.autoencoder, generator.sampler, device)
    labels = even_labels(n, generator.n_classes) if labels is None else labels

    def row(seed: int) -> tuple[Tensor, Tensor]:
        batches = list(generator.stream(n, labels, seed=seed))
        return torch.cat([images for images, _ in batches]), labels

    return row


def copied(
    autoencoder: Autoencoder,
    train: LabelledImages,
    n: int,
    device: torch.device,
    labels: Tensor | None = None,
) -> Row:
    """Training images through the autoencoder, drawn with replacement, labelled as by `drawn`."""
    rows_of = [(train.labels == c).nonzero()[:, 0] for c in range(len(train.class_names))]
    labels = even_labels(n, len(rows_of)) if labels is None else labels

    def row(seed: int) -> tuple[Tensor, Tensor]:
        source = generator(seed, "tstr", "copied")
        rows = torch.empty(n, dtype=torch.long)
        for c, own in enumerate(rows_of):
            wanted = labels == c
            drawn = torch.randint(len(own), (int(wanted.sum()),), generator=source)
            rows[wanted] = own[drawn]
        latents, _ = encode_images(autoencoder, train.images[rows], device)
        return decode_latents(autoencoder, latents, device), labels

    return row


def both(first: Row, second: Row) -> Row:
    """The images of two rows together."""

    def row(seed: int) -> tuple[Tensor, Tensor]:
        (a, b), (labels_a, labels_b) = zip(first(seed), second(seed), strict=True)
        return torch.cat([a, b]), torch.cat([labels_a, labels_b])

    return row


class FitPerSeed:
    """Generators fitted once for a number of images and a seed, by the thread that asks first.

    Args:
        fit: from the number and the seed.
    """

    def __init__(self, fit: Callable[[int, int], HVRTDiffuser]) -> None:
        self._fit, self._lock = fit, Lock()
        self._made: dict[tuple[int, int], Future[HVRTDiffuser]] = {}

    def __call__(self, n: int, seed: int) -> HVRTDiffuser:
        """The generator; who asks later waits for it, and is told the same error."""
        with self._lock:
            first = (n, seed) not in self._made
            made = self._made.setdefault((n, seed), Future())
        if first:
            try:
                made.set_result(self._fit(n, seed))
            except BaseException as error:
                made.set_exception(error)
        return made.result()


def fit_on_few(
    images: Tensor,
    labels: Tensor,
    n_all: int,
    training: AutoencoderEstimator,
    estimator: Any,
    augmentation: Augmentation,
    *,
    seed: int,
    device: torch.device,
) -> HVRTDiffuser:
    """A generator that has seen these images alone.

    A convolutional autoencoder, or a whole model, takes as many optimiser steps as on ``n_all``
    images: more passes.
    A batch is at most half of the images that it is trained on.

    Args:
        images: uint8 (n, c, h, w).
        labels: int64 (n,).
        n_all: how many images ``training`` is meant for.
        training: of the autoencoder.
        estimator: of the sampler, or of the whole model.
        augmentation: of the images that a sampler may start from.
        seed: of all of them.
        device: where to train.

    Raises:
        InputError: too few images to train or to fit on.
    """
    if estimator.kind == "images":
        whole = estimator.as_long_on(len(images), n_all)
        return HVRTDiffuser(None, whole.fit(images, labels, seed=seed, device=device))
    if isinstance(training, TrainingOptions):
        plan, n = training.plan(n_all), len(images)
        half = (n - round(n * training.validation_fraction)) // 2
        changes = {
            "steps": plan.steps,
            "epochs": None,
            "batch_size": max(2, min(plan.batch_size, half)),
        }
        training = training.model_copy(update=changes)
    autoencoder, _ = training.fit(images, seed=seed, device=device)
    latents, deviations = encode_images(autoencoder, images, device)
    inputs: dict[str, Any] = {}
    if "augmented" in estimator.uses:
        inputs["augmented"] = encode_augmented(
            autoencoder, images, augmentation, seed=seed, device=device
        )
    if "deviations" in estimator.uses:
        inputs["deviations"] = deviations
    sampler = estimator.fit(latents.to(device), labels, seed=seed, **inputs)
    return HVRTDiffuser(autoencoder, sampler)


class _Few(NamedTuple):
    """What :func:`fit_on_few` takes beside images and labels."""

    n_all: int
    training: AutoencoderEstimator
    estimator: Any
    augmentation: Augmentation
    seed: int
    device: str


def _fit(few: _Few, given: Mapping[str, Tensor]) -> HVRTDiffuser:
    return fit_on_few(
        given["images"],
        given["labels"],
        few.n_all,
        few.training,
        few.estimator,
        few.augmentation,
        seed=few.seed,
        device=torch.device(few.device),
    )


def _save(generator: HVRTDiffuser, path: Path) -> None:
    if generator.autoencoder is not None:
        generator.autoencoder.save(path.with_name(AUTOENCODER_FILE))
    generator.save(path)  # the last, since it says that both are there


GENERATOR = TaskKind(_fit, _save, load_generator, SAMPLER_FILE)


def fit_on_few_by_engine(
    images: Tensor,
    labels: Tensor,
    n_all: int,
    training: AutoencoderEstimator,
    estimator: Any,
    augmentation: Augmentation,
    *,
    seed: int,
    device: torch.device,
) -> HVRTDiffuser:
    """:func:`fit_on_few`, as a task of the run's engine."""
    return current().run(
        GENERATOR,
        f"the generator of {len(images):,} images, seed {seed}",
        _Few(n_all, training, estimator, augmentation, seed, str(device)),
        {"images": images, "labels": labels},
        gpu=device.type == "cuda",
    )

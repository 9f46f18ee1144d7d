"""Training a classifier for a fixed number of steps, or until a validation split says stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.classifiers.network import Classifier
from hvrt_diffuser.classifiers.options import AT_A_STEP, ClassifierOptions, JudgeOptions
from hvrt_diffuser.classifiers.recipes import RECIPES
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.interruption import check
from hvrt_diffuser.common.precision import autocast
from hvrt_diffuser.common.seeding import borrowed_seed, derive_seed, generator
from hvrt_diffuser.data.augmentation import Augment, mirrors, shifted
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.distributed import ALONE, Ranks, joined, together
from hvrt_diffuser.training.loop import Row, Training

__all__ = [
    "classify",
    "look_within",
    "train_classifier",
    "train_judge",
    "train_judge_together",
]

PREPARED = 5000  # images that the network is prepared by, or up to twice as many
BATCH_SIZE = 500  # in evaluation, and fewer of large images


def train_classifier(
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    options: ClassifierOptions,
    *,
    seed: int,
    device: torch.device,
    augment: Augment | None = None,
    rows: Tensor | None = None,
) -> Classifier:
    """Train a classifier for ``options.steps`` steps.

    Args:
        images: uint8 (n, c, h, w).
        labels: int64 (n,).
        n_classes: number of classes, also of those without an image.
        options: of the network and the optimisation.
        seed: of the weights and the order of batches.
        device: where to train.
        augment: changes each batch anew; weights and batches are those without it.
        rows: int64 (m,), of the images to train on, in their order; None is all. They are taken
            a batch at a time, so that images of a mapped file need not be copied.

    Returns:
        The network in evaluation mode, on ``device``.

    Raises:
        InputError: fewer than two images.
        FloatingPointError: the loss became infinite or NaN.
    """
    training, take = _begin(
        "training the classifier",
        images,
        labels,
        torch.arange(len(images)) if rows is None else rows,
        n_classes,
        options,
        seed,
        device,
        augment,
    )
    take(options.steps)
    return training.finished()


def train_judge(
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    options: JudgeOptions,
    *,
    seed: int,
    device: torch.device,
    augment: Augment | None = None,
    ranks: Ranks = ALONE,
) -> Classifier:
    """Train the classifier whose features and probabilities judge images.

    A classifier remembers its training images, which makes copies of them look better than fresh
    images in its features. Random translations, weight decay and stopping at the best validation
    loss keep that small; the copy floor of the evaluation says how small. One that is trained on
    mirror images sees an image and its mirror image alike. Where no class has images enough to hold
    some out, it trains for all its steps.

    Args, raises: as :func:`train_classifier`, and ``ranks``, the processes that call this together,
        each with the same arguments but for a device of its own.

    Returns:
        The network with the best validation loss, in evaluation mode on the CPU.
    """
    options = options.for_rows(len(images))
    kept, held_out = _split(
        labels, options.validation_fraction, derive_seed(seed, "judge", "split")
    )
    training, take = _begin(
        "training the judge",
        images,
        labels,
        kept,
        n_classes,
        options,
        seed,
        device,
        augment,
        options.shift,
        mirrored=mirrors(options.mirrored, images.shape[1]),
        ranks=ranks,
    )
    if not len(held_out):
        take(options.steps)
        return training.finished().cpu()
    held_labels = labels[held_out]

    def look() -> Row:
        take(min(options.evaluate_every, options.steps - training.step))
        if not ranks.first:
            return {}
        with autocast(device, options.precision):
            _, probabilities = classify(training.kept, images, device, held_out)
        loss = F.nll_loss(probabilities.clamp_min(1e-12).log(), held_labels)
        return {"step": training.step, "validation_loss": loss.item()}

    return training.fit(
        look,
        math.ceil(options.steps / options.evaluate_every),
        note=lambda row: f"validation loss {row['validation_loss']:.4f}, step {row['step']}",
        watched=lambda row: float(row["validation_loss"]),
        patience=options.patience,
    ).cpu()


def train_judge_together(
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    options: JudgeOptions,
    *,
    seed: int,
    device: torch.device,
) -> Classifier:
    """:func:`train_judge` by all processes that torchrun started; called by the first one.

    Args, returns: as there.

    Raises:
        InputError: as there; also steps of fewer than two images for each process.
        ConnectionError: another process has ended.
    """
    batch_size = options.for_rows(len(images)).batch_size or AT_A_STEP
    joined().check(min(batch_size, len(images)), "evaluation.judge.batch_size")
    setting = {"labels": labels, "n_classes": n_classes, "options": options, "seed": seed}
    return together(_by_ranks, images, setting, device=device, checkpoint=None)


def _by_ranks(images: Tensor, *, checkpoint: Checkpoint | None, **given: Any) -> Classifier:
    """What each process does; a judge is trained again rather than kept amid its training."""
    return train_judge(images, **given)


def _split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on and to validate on, by class; of a class with too few images, none."""
    try:
        kept, held_out = train_test_split(
            torch.arange(len(labels)).numpy(),
            test_size=fraction,
            stratify=labels.numpy(),
            random_state=seed % 2**32,
        )
        return torch.from_numpy(kept), torch.from_numpy(held_out)
    except ValueError:  # a class with one image, or more classes than images to hold out
        order = torch.randperm(len(labels), generator=generator(seed, "few"))
        held = torch.zeros(len(labels), dtype=torch.bool)
        for c in labels.unique():
            own = order[labels[order] == c]
            held[own[: int(fraction * len(own))]] = True
        return order[~held[order]], order[held[order]]


@torch.inference_mode()
def classify(
    model: Classifier, images: Tensor, device: torch.device, rows: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Features float32 (n, 64) and class probabilities float32 (n, k) of uint8 images, on the CPU.

    Args:
        model: the network.
        images: uint8 (m, c, h, w).
        device: where to compute.
        rows: int64 (n,), of the images to look at, a batch at a time; None is all.

    Raises:
        InputError: the images do not have the shape that the classifier was built for.
    """
    features, probabilities = [], []
    for x in _shown(model, images, device, rows):
        found = model.features(x)
        features.append(found.cpu())
        probabilities.append(torch.softmax(model.logits(found).float(), dim=1).cpu())
    return torch.cat(features), torch.cat(probabilities)


@torch.inference_mode()
def look_within(model: Classifier, images: Tensor, device: torch.device) -> Tensor:
    """What a network sees on its way: :meth:`Classifier.middle`, float32 (n, f), on the CPU.

    Args, raises: as :func:`classify`.
    """
    return torch.cat([model.middle(x).cpu() for x in _shown(model, images, device)])


def _shown(
    model: Classifier, images: Tensor, device: torch.device, rows: Tensor | None = None
) -> Iterator[Tensor]:
    """Images in [0, 1] on the device, a batch at a time, once the network is there as well."""
    if tuple(images.shape[1:]) != model.shape:
        raise InputError(
            f"the classifier was trained on images of shape {model.shape} and was given "
            f"{tuple(images.shape[1:])}: train it on these images, or give it its own"
        )
    model.to(device).eval()
    pixels = images.shape[2] * images.shape[3]
    rows = torch.arange(len(images)) if rows is None else rows
    for at in rows.split(min(BATCH_SIZE, max(1, model.pixels_at_once // pixels))):
        check()
        yield images[at].to(device).float() / 255


def _begin(
    name: str,
    images: Tensor,
    labels: Tensor,
    rows: Tensor,
    n_classes: int,
    options: ClassifierOptions,
    seed: int,
    device: torch.device,
    augment: Augment | None,
    shift: int = 0,
    *,
    mirrored: bool = False,
    ranks: Ranks = ALONE,
) -> tuple[Training[Classifier], Callable[[int], object]]:
    """A classifier before its first step, and what takes some more steps."""
    if len(rows) < 2:
        raise InputError(
            f"{len(rows)} images were given to train a classifier on, expected at least two: "
            "add images"
        )
    c, h, w = images.shape[1:]
    with borrowed_seed(seed, "classifier", "weights"):
        network = Classifier(
            (c, h, w), n_classes, options.width, options.network, mirrored=mirrored
        )
    network.prepare(images[rows[:: max(1, len(rows) // PREPARED)]])
    network.to(device)
    recipe = RECIPES[options.network](network, options)
    source = generator(seed, "classifier", "batches")
    changes = generator(seed, "classifier", "augmentation")
    turns = generator(seed, "classifier", "mirrored")
    facing = torch.rand(len(images), generator=turns) < 0.5  # each image's turn, first at random
    generators = {"batches": source, "augmentation": changes}
    training = Training(
        name,
        network,
        recipe.optimiser,
        recipe.scheduler,
        generators=generators,
        average=recipe.average,
        ranks=ranks,
    )
    images, labels = images.to(device), labels.to(device)

    def seen(index: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as it is shown; whole on each process, or their generators would part ways."""
        index = rows[index]
        batch = images[index.to(device)]
        if augment is not None:
            batch = augment.apply(batch, generator=changes)
        x = shifted(batch.float() / 255, shift, source)
        if mirrored:
            facing[index] ^= True
            x = torch.where(facing[index].to(device)[:, None, None, None], x.flip(3), x)
        return x, labels[index.to(device)]

    def loss(x: Tensor, wanted: Tensor) -> tuple[Tensor]:
        with autocast(device, options.precision):
            logits = network(x).float()
        return (F.cross_entropy(logits, wanted, label_smoothing=network.smoothing),)

    step = ranks.synchronised(network, loss)
    batches = _endless(len(rows), min(options.batch_size or AT_A_STEP, len(rows)), source)
    return training, lambda steps: training.run(
        lambda index: step(*seen(index)), islice(batches, steps)
    )


def _endless(n: int, batch_size: int, source: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices; every one of ``n`` rows comes once before any comes again."""
    order = torch.empty(0, dtype=torch.long)
    while True:
        if len(order) < batch_size:
            order = torch.cat([order, torch.randperm(n, generator=source)])
        yield order[:batch_size]
        order = order[batch_size:]

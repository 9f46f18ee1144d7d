"""Training: fresh binary images in every batch, one checkpoint an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.bounds import BatchSize, Decay, Epochs, GradientNorm, LearningRate
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.seeding import borrowed_seed, generator
from hvrt_diffuser.common.tensor_file import bytes_of
from hvrt_diffuser.data.binary import binarise
from hvrt_diffuser.image_models.dvp_vae.bounds import training_terms
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Architecture
from hvrt_diffuser.image_models.dvp_vae.prior import MixturePrior
from hvrt_diffuser.image_models.protocol import hash_images
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row, Training, shuffled

__all__ = ["TrainingOptions", "check_size", "train"]


class TrainingOptions(Options):
    """How a DVP-VAE is trained."""

    epochs: Epochs = Field(description="passes over the training images")
    batch_size: BatchSize = Field(128, description="images per optimiser step")
    learning_rate: LearningRate = Field(0.01, description="first rate of Adamax")
    last_learning_rate: LearningRate = Field(1e-5, description="at the end of a cosine")
    clip: GradientNorm = Field(5.0, description="of the gradient's norm")
    ema_decay: Decay = Field(0.999, description="per step, of the kept weights, at the end")


def check_size(images: Tensor, architecture: Architecture, options: TrainingOptions) -> None:
    """Check that images uint8 (n, c, h, w) are enough, and of the size of the architecture.

    Raises:
        InputError: they are not.
    """
    if tuple(images.shape[1:]) != architecture.shape or len(images) < options.batch_size:
        raise InputError(
            f"images of shape {tuple(images.shape)} were given, expected at least a batch of "
            f"{options.batch_size} of shape {architecture.shape}: resize them, take another "
            "setting, or leave the model out"
        )


def train(
    images: Tensor,
    architecture: Architecture,
    options: TrainingOptions,
    *,
    seed: int,
    device: torch.device,
    labels: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    chosen: Mapping[str, Any] | None = None,
    look: Callable[[DVPVAE], Any] | None = None,
) -> tuple[DVPVAE, list[Row]]:
    """Train a DVP-VAE; with a checkpoint, go on from where an earlier call was cut off.

    Args:
        images: uint8 (n, c, h, w).
        architecture: what to train.
        options: how.
        seed: of weights, order, binarisation, posterior draws, times and noise.
        device: where to train.
        labels: int64 (n,), where the architecture has classes.
        checkpoint: where to keep the state of the last finished epoch.
        chosen: what a user has chosen all this by, flat JSON: what differs from a checkpoint is
            told by these names first.
        look: what is measured of the average of the weights after every epoch, as JSON; training
            does not depend on it.

    Returns:
        The average of the weights in evaluation mode on the CPU, and a row per epoch: ``epoch``,
        ``loss`` (-ELBO), ``nll``, ``pseudoinput``, ``levels``, in nats per image, and
        ``validation``, what ``look`` gave.

    Raises:
        InputError: fewer images than a batch, images of another shape, labels that are missing or
            of no class, or a checkpoint of another setting.
        FloatingPointError: the loss became infinite or NaN.
    """
    check_size(images, architecture, options)
    order = generator(seed, "DVP-VAE", "order")
    source = generator(seed, "DVP-VAE", "draws", device=device)
    with borrowed_seed(seed, "DVP-VAE", "weights"):
        model = DVPVAE(architecture).to(device)
    labels = model.given(labels)
    if labels is None:
        pictures = hashlib.sha256(bytes_of(images.contiguous())).hexdigest()
    else:
        pictures = hash_images(images, labels)
        model.share.copy_(_shares(labels, architecture.classes))
    setting = {
        **(chosen or {}),
        **options.model_dump(),
        **{f"architecture_{name}": str(value) for name, value in asdict(architecture).items()},
        "seed": seed,
        "images": pictures,
    }
    images = images.to(device)

    def pixels(images: Tensor, source: torch.Generator) -> Tensor:
        """Images as the likelihood has them."""
        return images.float() / 255 if architecture.components else binarise(images, source)

    first = generator(seed, "DVP-VAE", "pseudoinputs", device=device)
    of_all = pixels(images, first)
    model.pseudoinput.fit(of_all)
    if architecture.components:
        model.centre.copy_(of_all.mean(dim=(0, 2, 3))[:, None, None])
        model.spread.copy_(of_all.std(dim=(0, 2, 3)).clamp(min=1e-3)[:, None, None])
    if isinstance(model.prior, MixturePrior):
        model.prior.start(model.pseudoinput(of_all), first)
    del of_all
    optimiser = torch.optim.Adamax(model.parameters(), lr=options.learning_rate)
    training = Training(
        "training the DVP-VAE",
        model,
        optimiser,
        CosineAnnealingLR(
            optimiser,
            options.epochs * (len(images) // options.batch_size),
            eta_min=options.last_learning_rate,
        ),
        generators={"order": order, "source": source},
        average=AveragedModel(model, multi_avg_fn=running_average(options.ema_decay)),
        clip=options.clip,
    )

    def loss(index: Tensor) -> tuple[Tensor, ...]:
        own = None if labels is None else labels[index]
        terms = training_terms(model, pixels(images[index], source), source, own)
        levels = terms.levels.mean(dim=1)
        return terms.total.mean(), terms.nll.mean(), terms.pseudoinput.mean(), levels

    def epoch() -> Row:
        batches = shuffled(len(images), options.batch_size, order, device)
        total, nll, pseudoinput, *levels = training.run(loss, batches)
        return {
            "epoch": len(training.history) + 1,
            "loss": total,
            "nll": nll,
            "pseudoinput": pseudoinput,
            "levels": levels,
            "validation": look(training.kept.eval()) if look else None,
        }

    kept = training.fit(
        epoch,
        options.epochs,
        unit="epochs",
        note=lambda row: f"-ELBO {row['loss']:.2f} nats per image",
        checkpoint=checkpoint,
        setting=setting,
    )
    return kept.cpu(), training.history


def _shares(labels: Tensor, classes: int) -> Tensor:
    """The share of each class (classes,) among labels (n,).

    Raises:
        InputError: another number of classes, or one without images.
    """
    counts = torch.bincount(labels)
    if len(counts) != classes or not counts.all():
        raise InputError(
            f"labels take the values {labels.unique().tolist()[:12]}, expected every class from 0 "
            f"to {classes - 1} to occur: renumber the labels or add images of the missing classes"
        )
    return counts / len(labels)

"""Training: fresh binary images in every batch, one checkpoint an epoch."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

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
from hvrt_diffuser.image_models.dvp_vae.bounds import bounds, training_terms
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Architecture
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row, Training, shuffled

__all__ = ["TrainingOptions", "binarise", "check_size", "train"]


class TrainingOptions(Options):
    """How a DVP-VAE is trained."""

    epochs: Epochs = Field(description="passes over the training images")
    batch_size: BatchSize = Field(128, description="images per optimiser step")
    learning_rate: LearningRate = Field(0.01, description="first rate of Adamax")
    last_learning_rate: LearningRate = Field(1e-5, description="at the end of a cosine")
    clip: GradientNorm = Field(5.0, description="of the gradient's norm")
    ema_decay: Decay = Field(0.999, description="per step, of the kept weights, at the end")


def binarise(images: Tensor, source: torch.Generator) -> Tensor:
    """Binary draws (n, c, h, w), float32, of uint8 images as probabilities."""
    return torch.bernoulli(images.float() / 255, generator=source)


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
    checkpoint: Checkpoint | None = None,
    validation: Tensor | None = None,
) -> tuple[DVPVAE, list[Row]]:
    """Train a DVP-VAE; with a checkpoint, go on from where an earlier call was cut off.

    Args:
        images: uint8 (n, c, h, w).
        architecture: what to train.
        options: how.
        seed: of weights, order, binarisation, posterior draws, times and noise.
        device: where to train.
        checkpoint: where to keep the state of the last finished epoch.
        validation: (m, c, h, w) in [0, 1], as :func:`bounds` takes them, whose bound is computed
            after every epoch; training does not depend on it.

    Returns:
        The average of the weights in evaluation mode on the CPU, and a row per epoch: ``epoch``,
        ``loss`` (-ELBO), ``nll``, ``pseudoinput``, ``levels`` and ``validation`` (-ELBO of the
        average of the weights, None without images), in nats per image.

    Raises:
        InputError: fewer images than a batch, images of another shape, or a checkpoint of another
            setting.
        FloatingPointError: the loss became infinite or NaN.
    """
    check_size(images, architecture, options)
    order = generator(seed, "DVP-VAE", "order")
    source = generator(seed, "DVP-VAE", "draws", device=device)
    setting = {
        **options.model_dump(),
        **{f"architecture_{name}": str(value) for name, value in asdict(architecture).items()},
        "seed": seed,
        "images": hashlib.sha256(bytes_of(images.contiguous())).hexdigest(),
    }
    images = images.to(device)
    with borrowed_seed(seed, "DVP-VAE", "weights"):
        model = DVPVAE(architecture).to(device)

    def pixels(images: Tensor, source: torch.Generator) -> Tensor:
        """Images as the likelihood has them."""
        return images.float() / 255 if architecture.components else binarise(images, source)

    first = generator(seed, "DVP-VAE", "pseudoinputs", device=device)
    model.pseudoinput.fit(pixels(images, first))
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
        terms = training_terms(model, pixels(images[index], source), source)
        levels = terms.levels.mean(dim=1)
        return terms.total.mean(), terms.nll.mean(), terms.pseudoinput.mean(), levels

    def bound() -> float | None:
        """-ELBO by the averaged weights, with the same noise after every epoch."""
        if validation is None:
            return None
        noise = generator(seed, "DVP-VAE", "validation", device=device)
        return bounds(training.kept.eval(), validation.to(device), source=noise).elbo

    def epoch() -> Row:
        batches = shuffled(len(images), options.batch_size, order, device)
        total, nll, pseudoinput, *levels = training.run(loss, batches)
        return {
            "epoch": len(training.history) + 1,
            "loss": total,
            "nll": nll,
            "pseudoinput": pseudoinput,
            "levels": levels,
            "validation": bound(),
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

"""Training: fresh binary images in every batch, one checkpoint an epoch."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import tensors_below
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.image_models.dvp_vae.bounds import bounds, training_terms
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Architecture
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint, optimiser_tensors, restore_optimiser

__all__ = ["TrainingOptions", "binarise", "check_size", "train"]

Row = dict[str, Any]


class TrainingOptions(BaseModel):
    """How a DVP-VAE is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1, description="passes over the training images")
    batch_size: int = Field(128, ge=1, description="images per optimiser step")
    learning_rate: float = Field(0.01, gt=0, description="first rate of Adamax")
    last_learning_rate: float = Field(1e-5, ge=0, description="at the end of a cosine")
    clip: float = Field(5.0, gt=0, description="of the gradient's norm")
    ema_decay: float = Field(
        0.999, ge=0, lt=1, description="per step, of the kept weights, at the end"
    )


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
    training = _Training(images, architecture, options, seed, device)
    setting = {
        **options.model_dump(),
        **{f"architecture_{name}": str(value) for name, value in asdict(architecture).items()},
        "seed": seed,
        "images": hashlib.sha256(images.numpy().tobytes()).hexdigest(),
    }
    state = checkpoint.read(setting) if checkpoint else None
    if state:
        training.load_state(*state)
    with progress("training the DVP-VAE", options.epochs, "epochs") as advance:
        for _ in training.history:
            advance("taken from the checkpoint")
        while len(training.history) < options.epochs:
            row = training.run_epoch()
            row["validation"] = None if validation is None else training.bound(validation)
            if checkpoint:
                checkpoint.write(*training.state(), setting)
            advance(f"-ELBO {row['loss']:.2f} nats per image")
    return training.kept().cpu().eval(), training.history


class _Training:
    """Everything that changes during a training."""

    def __init__(
        self,
        images: Tensor,
        architecture: Architecture,
        options: TrainingOptions,
        seed: int,
        device: torch.device,
    ) -> None:
        self.options, self.device, self.seed = options, device, seed
        self.images = images.to(device)
        self.order = generator(seed, "DVP-VAE", "order")
        self.source = generator(seed, "DVP-VAE", "draws", device=device)
        # torch's initialisers draw from the global generator: borrow it, and give it back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "DVP-VAE", "weights"))
            self.model = DVPVAE(architecture).to(device)
        first = generator(seed, "DVP-VAE", "pseudoinputs", device=device)
        self.model.pseudoinput.fit(self._pixels(self.images, first))
        self.average = AveragedModel(self.model, multi_avg_fn=running_average(options.ema_decay))
        self.optimiser = torch.optim.Adamax(self.model.parameters(), lr=options.learning_rate)
        self.steps_per_epoch = len(images) // options.batch_size
        self.scheduler = CosineAnnealingLR(
            self.optimiser,
            options.epochs * self.steps_per_epoch,
            eta_min=options.last_learning_rate,
        )
        self.history: list[Row] = []

    def _pixels(self, images: Tensor, source: torch.Generator) -> Tensor:
        """Images as the likelihood has them."""
        if self.model.architecture.components:
            return images.float() / 255
        return binarise(images, source)

    def run_epoch(self) -> Row:
        """One pass over the images, and the row that it adds to the history."""
        self.model.train()
        m = self.options.batch_size
        order = torch.randperm(len(self.images), generator=self.order).to(self.device)
        sums = torch.zeros(3 + len(self.model.levels), device=self.device)
        for i in range(self.steps_per_epoch):
            x = self._pixels(self.images[order[i * m : (i + 1) * m]], self.source)
            terms = training_terms(self.model, x, self.source)
            loss = terms.total.mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
            self.optimiser.step()
            self.scheduler.step()
            self.average.update_parameters(self.model)
            parts = [loss.detach()[None], terms.nll.detach().mean()[None]]
            parts += [terms.pseudoinput.detach().mean()[None], terms.levels.detach().mean(dim=1)]
            sums += torch.cat(parts)
        loss_mean, nll, pseudoinput, *levels = (sums / self.steps_per_epoch).tolist()
        epoch = len(self.history) + 1
        if not math.isfinite(loss_mean):
            raise FloatingPointError(
                f"the loss of the DVP-VAE became {loss_mean} in epoch {epoch}: lower its "
                f"learning_rate (now {self.options.learning_rate})"
            )
        row: Row = {
            "epoch": epoch,
            "loss": loss_mean,
            "nll": nll,
            "pseudoinput": pseudoinput,
            "levels": levels,
        }
        self.history.append(row)
        return row

    def bound(self, images: Tensor) -> float:
        """-ELBO of images by the averaged weights, with the same noise after every epoch."""
        source = generator(self.seed, "DVP-VAE", "validation", device=self.device)
        return bounds(self.kept().eval(), images.to(self.device), source=source).elbo

    def kept(self) -> DVPVAE:
        """The averaged weights."""
        model = self.average.module
        assert isinstance(model, DVPVAE)
        return model

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and the rest as JSON, from which :meth:`load_state` goes on."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser)
        tensors["generator.order"] = self.order.get_state()
        tensors["generator.source"] = self.source.get_state()
        return tensors, {
            "history": self.history,
            "scheduler": self.scheduler.state_dict(),
            "groups": self.optimiser.state_dict()["param_groups"],
        }

    def load_state(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""
        self.model.load_state_dict(tensors_below(tensors, "model."))
        self.average.load_state_dict(tensors_below(tensors, "average."))
        restore_optimiser(self.optimiser, tensors, progress["groups"])
        self.scheduler.load_state_dict(progress["scheduler"])
        self.order.set_state(tensors["generator.order"])
        self.source.set_state(tensors["generator.source"])
        self.history = progress["history"]

"""The training loop: images in memory, batches by index, one checkpoint an epoch."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel
from typing_extensions import Self

from hvrt_diffuser.autoencoders.network import Architecture, Autoencoder
from hvrt_diffuser.autoencoders.objective import (
    Likelihood,
    kl_to_standard_normal,
    negative_log_likelihood,
    reparameterise,
)
from hvrt_diffuser.autoencoders.regularisers import Regulariser, constrain, release
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import tensors_below
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint, optimiser_tensors, restore_optimiser

__all__ = ["TrainingOptions", "train_autoencoder"]

Row = dict[str, float | int]


class TrainingOptions(BaseModel):
    """How an autoencoder is built and trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(ge=1, description="dimensions of a latent")
    width: int = Field(ge=1, description="channels at half the image's size")
    depth: int = Field(ge=1, description="halvings of height and width")
    residual_blocks: int = Field(
        0, ge=0, description="at each size, in encoder and decoder; for images richer than digits"
    )
    principal_path: bool = Field(
        False,
        description="whether principal components pass by the convolutions, which then learn what "
        "they lack; for images richer than digits",
    )
    beta: float = Field(
        ge=0, description="weight of the KL term; 0 is the plain autoencoder, above 0 the VAE"
    )
    regulariser: Regulariser | None = Field(
        None, description="of a plain autoencoder's latents and decoder; null is none"
    )
    likelihood: Literal["auto", "bernoulli", "gaussian"] = Field(
        description="of a pixel; auto is bernoulli for grey images and gaussian for colour"
    )
    epochs: int = Field(ge=1, description="passes over the training images")
    batch_size: int = Field(ge=2, description="images per optimiser step")
    learning_rate: float = Field(gt=0, description="peak rate of AdamW")
    weight_decay: float = Field(ge=0, description="of AdamW, per step and unit of learning rate")
    schedule: Literal["cosine", "one_cycle"] = Field(description="of the learning rate, by step")
    ema_decay: float | None = Field(
        ge=0,
        lt=1,
        description="per step, at the end, of the averaged weights that are kept; null is no "
        "average",
    )
    validation_fraction: float = Field(
        ge=0, lt=1, description="share of the training images held out to watch the loss"
    )
    patience: int | None = Field(
        ge=1,
        description="epochs without a better validation loss before training stops; null never "
        "stops, and keeps the last weights rather than the best",
    )
    precision: Precision = Field(description="of the convolutions")

    @model_validator(mode="after")
    def _one_kind_of_regularisation(self) -> Self:
        if self.beta > 0 and self.regulariser is not None:
            raise ValueError(
                f"beta is {self.beta:g} and a regulariser ({self.regulariser.kind}) is given, "
                "expected one of them: set beta to 0 or regulariser to null"
            )
        spectral = self.regulariser is not None and self.regulariser.kind == "decoder_spectrum"
        if self.ema_decay is not None and spectral:
            raise ValueError(
                f"ema_decay is {self.ema_decay:g} beside a regulariser of the decoder's spectrum, "
                "which an average of weights does not keep, expected one of them: set ema_decay or "
                "regulariser to null"
            )
        if self.principal_path and spectral:
            raise ValueError(
                "principal_path is true beside a regulariser of the decoder's spectrum, which "
                "knows nothing of that path, expected one of them: set principal_path to false or "
                "regulariser to null"
            )
        return self


def train_autoencoder(
    images: Tensor,
    options: TrainingOptions,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    start: Autoencoder | None = None,
) -> tuple[Autoencoder, list[Row]]:
    """Train an autoencoder; with a checkpoint, go on from where an earlier call was cut off.

    On the CPU, the same arguments give the same weights, whether or not the training was cut off
    in between.

    Args:
        images: uint8 (n, c, h, w).
        options: the network, the objective and the optimisation.
        seed: of initial weights, order of batches, split and posterior noise.
        device: where to train.
        checkpoint: where to keep the state of the last finished epoch.
        start: a trained network to fine-tune, in place of random weights; it stays as it is.

    Returns:
        The network in evaluation mode on the CPU, and a row per epoch: ``epoch``, ``train_loss``,
        ``train_nll``, ``train_kl``, ``train_penalty`` (of a regulariser alone),
        ``validation_loss`` (without a penalty; absent without a validation split), all in nats per
        image, and ``learning_rate``, the last one used.

    Raises:
        InputError: too few images, a checkpoint of another setting, or a network to start from
            that the options would not build.
        FloatingPointError: the loss became infinite or NaN.
    """
    training = _Training(images, options, seed, device, start)
    setting = {
        **options.model_dump(),
        **{f"architecture_{k}": _plain(v) for k, v in asdict(training.architecture).items()},
        "seed": seed,
        "start": start.fingerprint() if start else None,
        "images": hashlib.sha256(images.numpy().tobytes()).hexdigest(),
    }
    state = checkpoint.read(setting) if checkpoint else None
    if state:
        training.load_state(*state)
    kind = (
        f"training the VAE (beta {options.beta:g})" if options.beta else "training the autoencoder"
    )
    with progress(kind, options.epochs, "epochs") as advance:
        for _ in training.history:
            advance("taken from the checkpoint")
        while not training.finished():
            row = training.run_epoch()
            if checkpoint:
                checkpoint.write(*training.state(), setting)
            advance(f"loss {row.get('validation_loss', row['train_loss']):.2f} nats per image")
    return training.result(), training.history


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class _Training:
    """Everything that changes during a training, so that it can be saved and restored at once."""

    def __init__(
        self,
        images: Tensor,
        options: TrainingOptions,
        seed: int,
        device: torch.device,
        start: Autoencoder | None,
    ) -> None:
        self.options = options
        self.device = device
        n = len(images)
        n_validation = round(n * options.validation_fraction)
        n_train = n - n_validation
        if n_train < options.batch_size:
            raise InputError(
                f"{n_train} training images are left after the validation split, expected at "
                f"least ae_training.batch_size = {options.batch_size}: lower it or add images"
            )
        split = torch.randperm(n, generator=generator(seed, "autoencoder", "split"))
        self.train_images = images[split[:n_train]].to(device)
        self.validation_images = images[split[n_train:]].to(device)

        c, h, w = images.shape[1:]
        self.likelihood: Likelihood = (
            ("bernoulli" if c == 1 else "gaussian")
            if options.likelihood == "auto"
            else options.likelihood
        )
        self.architecture = Architecture(
            shape=(c, h, w),
            latent_dim=options.latent_dim,
            width=options.width,
            depth=options.depth,
            variational=options.beta > 0,
            residual_blocks=options.residual_blocks,
            principal_path=options.principal_path,
        )
        # torch's initialisers draw from the global generator: borrow it, and give it back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "autoencoder", "weights"))
            self.model = Autoencoder(self.architecture).to(device)
        if self.model.principal is not None and start is None:
            self.model.principal.fit(
                self.train_images, derive_seed(seed, "autoencoder", "principal") % 2**32
            )
        if start is not None:
            if start.architecture != self.architecture:
                raise InputError(
                    f"a network of {start.architecture} was given to start from, expected "
                    f"{self.architecture}: take its options and images of its shape"
                )
            self.model.load_state_dict(start.state_dict())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "autoencoder", "regulariser"))
            constrain(self.model, options.regulariser)
        self.average = (
            AveragedModel(
                self.model,
                multi_avg_fn=running_average(options.ema_decay),
                use_buffers=True,
            )
            if options.ema_decay is not None
            else None
        )
        self.steps_per_epoch = n_train // options.batch_size
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        steps = options.epochs * self.steps_per_epoch
        self.scheduler: LRScheduler = (
            CosineAnnealingLR(self.optimiser, steps)
            if options.schedule == "cosine"
            else OneCycleLR(self.optimiser, options.learning_rate, total_steps=max(steps, 2))
        )
        self.order = generator(seed, "autoencoder", "order")
        self.noise = torch.Generator(device).manual_seed(derive_seed(seed, "autoencoder", "noise"))
        self.best: dict[str, Tensor] = {}
        self.history: list[Row] = []

    @property
    def current(self) -> Autoencoder:
        """The weights that would be kept now: the averaged ones where there is an average."""
        kept = self.average.module if self.average is not None else self.model
        assert isinstance(kept, Autoencoder)
        return kept

    def finished(self) -> bool:
        """Whether all epochs are done, or the validation loss has stopped falling."""
        if len(self.history) >= self.options.epochs:
            return True
        return self.options.patience is not None and (
            len(self.history) - self._best_epoch() >= self.options.patience
        )

    def _best_epoch(self) -> int:
        losses = [row.get("validation_loss", row["train_loss"]) for row in self.history]
        return 1 + min(range(len(losses)), key=losses.__getitem__) if losses else 0

    def run_epoch(self) -> Row:
        """One pass over the training images, and the row that it adds to the history."""
        self.model.train()
        batch_size = self.options.batch_size
        order = torch.randperm(len(self.train_images), generator=self.order).to(self.device)
        sums = torch.zeros(4, device=self.device)
        rate = 0.0
        for i in range(self.steps_per_epoch):
            x = self.train_images[order[i * batch_size : (i + 1) * batch_size]].float() / 255
            losses = self._losses(self.model, x)
            self.optimiser.zero_grad(set_to_none=True)
            losses[0].backward()
            self.optimiser.step()
            rate = float(self.optimiser.param_groups[0]["lr"])
            self.scheduler.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
            sums += torch.stack([loss.detach() for loss in losses])
        loss, nll, kl, penalty = (sums / self.steps_per_epoch).tolist()
        if not torch.isfinite(sums).all():
            raise FloatingPointError(
                f"the loss became {loss} in epoch {len(self.history) + 1}: lower "
                f"ae_training.learning_rate (now {self.options.learning_rate})"
            )
        row: Row = {
            "epoch": len(self.history) + 1,
            "train_loss": loss,
            "train_nll": nll,
            "train_kl": kl,
            "learning_rate": rate,
        }
        if self.options.regulariser is not None:
            row["train_penalty"] = penalty
        if len(self.validation_images):
            row["validation_loss"] = self._validation_loss()
        self.history.append(row)
        if self.options.patience is not None and self._best_epoch() == len(self.history):
            self.best = {k: v.clone() for k, v in self.current.state_dict().items()}
        return row

    def _losses(self, model: Autoencoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss, reconstruction term, KL term and, in training, penalty in nats per image."""
        with autocast(self.device, self.options.precision):
            mean, log_variance = model.encode(x)
            z, kl = mean, mean.new_zeros((), dtype=torch.float32)
            penalty = kl
            if log_variance is not None:
                mean, log_variance = mean.float(), log_variance.float()
                kl = kl_to_standard_normal(mean, log_variance)
                z = reparameterise(mean, log_variance, self.noise) if model.training else mean
            logits = model.decode(z)
        nll = negative_log_likelihood(logits, x, self.likelihood)
        if self.options.regulariser is not None and model.training:
            penalty = self.options.regulariser.penalty(model, z, logits, self.noise)
        return nll + self.options.beta * kl + penalty, nll, kl, penalty

    @torch.inference_mode()
    def _validation_loss(self) -> float:
        """Loss on the held-out images at the posterior mean."""
        model = self.current.eval()
        total = 0.0
        for batch in self.validation_images.split(self.options.batch_size):
            total += len(batch) * self._losses(model, batch.float() / 255)[0].item()
        return total / len(self.validation_images)

    def result(self) -> Autoencoder:
        """The network to keep, in evaluation mode on the CPU."""
        model = self.current
        if self.best:
            model.load_state_dict(self.best)
        model = model.cpu().eval()
        release(model)
        return model

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and the rest as JSON, from which :meth:`load_state` goes on."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser)
        tensors["generator.order"] = self.order.get_state()
        tensors["generator.noise"] = self.noise.get_state()
        return tensors, {
            "history": self.history,
            "scheduler": self.scheduler.state_dict(),
            "groups": self.optimiser.state_dict()["param_groups"],
        }

    def load_state(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k: v.clone() for k, v in tensors_below(tensors, prefix).items()}

        self.model.load_state_dict(part("model."))
        self.best = {k: v.to(self.device) for k, v in part("best.").items()}
        if self.average is not None:
            self.average.load_state_dict(part("average."))
        restore_optimiser(self.optimiser, tensors, progress["groups"])
        self.scheduler.load_state_dict(progress["scheduler"])
        self.order.set_state(tensors["generator.order"])
        self.noise.set_state(tensors["generator.noise"])
        self.history = progress["history"]

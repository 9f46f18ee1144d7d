"""How a convolutional autoencoder is trained: by steps, with images in memory."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel
from typing_extensions import Self

from hvrt_diffuser.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderEstimator
from hvrt_diffuser.autoencoders.network import Architecture, ConvolutionalAutoencoder
from hvrt_diffuser.autoencoders.objective import (
    Likelihood,
    kl_to_standard_normal,
    negative_log_likelihood,
    reparameterise,
)
from hvrt_diffuser.autoencoders.regularisers import Regulariser, constrain, release
from hvrt_diffuser.common.bounds import (
    BatchSize,
    Decay,
    Depth,
    Epochs,
    KLWeight,
    LatentDim,
    Layers,
    LearningRate,
    PenaltyWeight,
    Share,
    Steps,
    WeightDecay,
    Width,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.seeding import borrowed_seed, derive_seed, generator
from hvrt_diffuser.common.tensor_file import bytes_of
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.distributed import ALONE, Ranks, joined, together
from hvrt_diffuser.training.loop import Row, Training, shuffled

__all__ = ["Plan", "TrainingOptions", "train_autoencoder"]

PASSES = 12  # over the images ...
FEWEST = 1_000  # ... unless that takes fewer steps; of 240 photographs, more learn them by heart
SPARE = 2  # images for each principal component, at least: of fewer they are the images' own
LOOK = 50  # steps between two looks at the loss, at least


@AUTOENCODERS.register("convolutional")
class TrainingOptions(AutoencoderEstimator):
    """How a convolutional autoencoder is built and trained."""

    latent_dim: LatentDim = Field(32, description="dimensions of a latent")
    width: Width = Field(32, description="channels at half the image's size")
    depth: Depth = Field(2, description="halvings of height and width")
    residual_blocks: Layers = Field(
        0, description="at each size, in encoder and decoder; for images richer than digits"
    )
    principal_path: bool | Literal["auto"] = Field(
        "auto",
        description="whether principal components pass by the convolutions, which then learn what "
        "they lack; auto: of colour images, where they are at least twice latent_dim, in a plain "
        "autoencoder",
    )
    beta: KLWeight = Field(
        0.0, description="weight of the KL term; 0 is the plain autoencoder, above 0 the VAE"
    )
    coupling: PenaltyWeight = Field(
        0.0,
        description="of a VAE: weight of the reconstruction from the posterior's mean, beside that "
        "from a draw of it; above 0 it is coupled with a plain autoencoder of the same networks",
    )
    regulariser: Regulariser | None = Field(
        None, description="of a plain autoencoder's latents and decoder; null is none"
    )
    likelihood: Literal["auto", "bernoulli", "gaussian"] = Field(
        "auto", description="of a pixel; auto is bernoulli for grey images and gaussian for colour"
    )
    steps: Steps | None = Field(
        None,
        description="of the optimiser; null is 12 passes over the training images, and at least "
        "1,000 steps",
    )
    epochs: Epochs | None = Field(
        None, description="passes over the training images, in place of steps"
    )
    batch_size: BatchSize | None = Field(
        None,
        ge=2,
        description="images per optimiser step; null is 128, and where there are fewer than 1,024 "
        "images the largest power of two up to an eighth of them, at least 8",
    )
    learning_rate: LearningRate = Field(3e-3, description="peak rate of AdamW")
    weight_decay: WeightDecay = Field(
        1e-4, description="of AdamW, per step and unit of learning rate"
    )
    schedule: Literal["cosine", "one_cycle"] = Field(
        "one_cycle", description="of the learning rate, by step"
    )
    ema_decay: Decay | None = Field(
        None,
        description="per step, at the end, of the averaged weights that are kept; null is no "
        "average",
    )
    validation_fraction: Share = Field(
        0.05, lt=1, description="share of the training images held out to watch the loss"
    )
    patience: Steps | None = Field(
        None,
        description="looks at the validation loss (one after each pass, or 50 steps where that is "
        "more) without a better one before training stops; null never stops, and keeps the last "
        "weights rather than the best",
    )
    precision: Precision = Field("float32", description="of the convolutions")

    @model_validator(mode="after")
    def _one_kind_of_regularisation(self) -> Self:
        if self.beta > 0 and self.regulariser is not None:
            raise ValueError(
                f"beta is {self.beta:g} and a regulariser ({self.regulariser.kind}) is given, "
                "expected one of them: set beta to 0 or regulariser to null"
            )
        if self.coupling > 0 and self.beta == 0:
            raise ValueError(
                f"coupling is {self.coupling:g} and beta is 0, expected a VAE to couple with a "
                "plain autoencoder: set beta above 0 or coupling to 0"
            )
        spectral = self.regulariser is not None and self.regulariser.kind == "decoder_spectrum"
        if self.ema_decay is not None and spectral:
            raise ValueError(
                f"ema_decay is {self.ema_decay:g} beside a regulariser of the decoder's spectrum, "
                "which an average of weights does not keep, expected one of them: set ema_decay or "
                "regulariser to null"
            )
        if self.principal_path is True and spectral:
            raise ValueError(
                "principal_path is true beside a regulariser of the decoder's spectrum, which "
                "knows nothing of that path, expected one of them: set principal_path to false or "
                "regulariser to null"
            )
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"steps is {self.steps} and epochs is {self.epochs}, expected one of them: set the "
                "other to null"
            )
        return self

    def architecture(self, shape: tuple[int, int, int], n: int) -> Architecture:
        """The network for ``n`` images of a shape, of which some are trained on.

        Raises:
            InputError: the images are too small for it.
        """
        principal_path = self.principal_path
        if principal_path == "auto":
            colour = shape[0] == 3 and self._n_train(n) >= SPARE * self.latent_dim
            spectral = self.regulariser is not None and self.regulariser.kind == "decoder_spectrum"
            principal_path = colour and self.beta == 0 and not spectral
        return Architecture(
            shape=shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            variational=self.beta > 0,
            residual_blocks=self.residual_blocks,
            principal_path=principal_path,
        )

    def _n_train(self, n: int) -> int:
        return n - round(n * self.validation_fraction)

    def plan(self, n: int) -> Plan:
        """How a training on ``n`` images goes.

        Raises:
            InputError: too few images for a batch.
        """
        n_train = self._n_train(n)
        batch_size = self.batch_size or _batch_size(n_train)
        if n_train < batch_size:
            raise InputError(
                f"{n_train} training images are left after the validation split, expected at "
                f"least batch_size = {batch_size}: lower it or add images"
            )
        a_pass = n_train // batch_size
        if self.epochs is not None:
            return Plan(n_train, batch_size, self.epochs * a_pass, 1)
        steps = self.steps or max(PASSES * a_pass, FEWEST)
        return Plan(n_train, batch_size, steps, -(-LOOK // a_pass))

    def fit(
        self,
        images: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        start: Autoencoder | None = None,
    ) -> tuple[Autoencoder, list[Row]]:
        """See :func:`train_autoencoder`."""
        return train_autoencoder(
            images, self, seed=seed, device=device, checkpoint=checkpoint, start=start
        )

    def fit_together(
        self,
        images: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[Autoencoder, list[Row]]:
        """See :meth:`AutoencoderEstimator.fit_together`."""
        joined().check(self.plan(len(images)).batch_size, "ae_training.batch_size")
        setting = {"options": self, "seed": seed}
        return together(train_autoencoder, images, setting, device=device, checkpoint=checkpoint)


@dataclass(frozen=True)
class Plan:
    """How a training goes.

    Attributes:
        n_train: images to train on; the others are for validation.
        batch_size: of a step.
        steps: of the optimiser.
        passes: over the images, between two looks at the loss.
    """

    n_train: int
    batch_size: int
    steps: int
    passes: int

    @property
    def epochs(self) -> int:
        """Passes over the images, of which the last may be a part of one."""
        return -(-self.steps // (self.n_train // self.batch_size))

    @property
    def looks(self) -> int:
        """At the loss, of which the last may come after fewer passes."""
        return -(-self.epochs // self.passes)


def _batch_size(n: int) -> int:
    """Of ``n`` images: small sets need many steps more than they need large batches."""
    return int(min(128, max(min(n, 8), 2 ** math.floor(math.log2(max(n, 8) / 8)))))


def train_autoencoder(
    images: Tensor,
    options: TrainingOptions,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    start: Autoencoder | None = None,
    ranks: Ranks = ALONE,
) -> tuple[ConvolutionalAutoencoder, list[Row]]:
    """Train an autoencoder; with a checkpoint, go on from where an earlier call was cut off.

    On the CPU, the same arguments give the same weights, whether or not the training was cut off
    in between. So does the same number of processes; another one parts the batches otherwise, of
    which batch normalisation makes other statistics.

    Args:
        images: uint8 (n, c, h, w).
        options: the network, the objective and the optimisation.
        seed: of initial weights, order of batches, split and posterior noise.
        device: where to train.
        checkpoint: where to keep the state of the last look.
        start: a trained network to fine-tune, in place of random weights; it stays as it is.
        ranks: the processes that call this together, each with the same arguments but for a
            device of its own, and a checkpoint in the first one alone.

    Returns:
        The network in evaluation mode on the CPU (of several processes, the first one's), and a
        row per look, which comes after each pass over the images, or after several where they are
        few: ``epoch``, the passes so far, ``step``, ``train_loss``, ``train_nll``, ``train_kl``,
        ``train_penalty`` (of a regulariser or a coupling alone), ``validation_loss`` (without a
        penalty; absent without a validation split), all in nats per image, and ``learning_rate``,
        the last one used.

    Raises:
        InputError: too few images, a checkpoint of another setting, or a network to start from
            that the options would not build.
        FloatingPointError: the loss became infinite or NaN.
    """
    n, plan = len(images), options.plan(len(images))
    n_train, batch_size, steps = plan.n_train, plan.batch_size, plan.steps
    split = torch.randperm(n, generator=generator(seed, "autoencoder", "split"))
    model = _build(images, split[:n_train], options, seed, device, start)
    digest = hashlib.sha256(bytes_of(images.contiguous())).hexdigest()
    # Rows are taken where the images lie, which may be a mapped file: no copy stands beside them.
    images, split = images.to(device), split.to(device)
    train_rows, validation_rows = split[:n_train], split[n_train:]

    optimiser = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    schedule: LRScheduler = (
        CosineAnnealingLR(optimiser, steps)
        if options.schedule == "cosine"
        else OneCycleLR(optimiser, options.learning_rate, total_steps=max(steps, 2))
    )
    order = generator(seed, "autoencoder", "order")
    noise = generator(seed, "autoencoder", "noise", device=device)
    training = Training(
        f"training the VAE (beta {options.beta:g})" if options.beta else "training the autoencoder",
        model,
        optimiser,
        schedule,
        generators={"order": order, "noise": noise},
        average=None
        if options.ema_decay is None
        else AveragedModel(
            model, multi_avg_fn=running_average(options.ema_decay), use_buffers=True
        ),
        ranks=ranks,
    )

    def loss(index: Tensor) -> tuple[Tensor, ...]:
        return _losses(model, images[train_rows[index]], options, noise)

    step = ranks.synchronised(model, loss)

    @torch.inference_mode()
    def validation_loss() -> float:
        network, batches = training.kept.eval(), validation_rows.split(batch_size)
        sums = [
            len(rows) * _losses(network, images[rows], options, noise)[0].item() for rows in batches
        ]
        return sum(sums) / len(validation_rows)

    def look() -> Row:
        if ranks.size > 1:  # each image has noise of its own, and the checkpoint one generator
            noise.manual_seed(derive_seed(seed, "autoencoder", "noise", training.step, ranks.rank))
        a_pass = partial(shuffled, n_train, batch_size, order, device)
        batches = chain.from_iterable(a_pass() for _ in range(plan.passes))
        total, nll, kl, penalty = training.run(step, islice(batches, steps - training.step))
        row: Row = {
            "epoch": min((len(training.history) + 1) * plan.passes, plan.epochs),
            "step": training.step,
            "train_loss": total,
            "train_nll": nll,
            "train_kl": kl,
            "learning_rate": training.rate,
        }
        if options.regulariser is not None or options.coupling:
            row["train_penalty"] = penalty
        if len(validation_rows) and ranks.first:
            row["validation_loss"] = validation_loss()
        return row

    def watched(row: Row) -> float:
        return float(row["validation_loss" if "validation_loss" in row else "train_loss"])

    kept = training.fit(
        look,
        plan.looks,
        note=lambda row: f"loss {watched(row):.2f} nats per image, step {row['step']:,}",
        watched=watched,
        patience=options.patience,
        checkpoint=checkpoint,
        setting={
            **options.model_dump(),
            **{f"architecture_{k}": v for k, v in asdict(model.architecture).items()},
            "seed": seed,
            "start": start.fingerprint() if start else None,
            "images": digest,
            "processes": ranks.size,
        },
    ).cpu()
    release(kept)
    return kept, training.history


def _build(
    images: Tensor,
    rows: Tensor,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
    start: Autoencoder | None,
) -> ConvolutionalAutoencoder:
    """The network before its first step; ``rows`` of the images are trained on."""
    c, h, w = images.shape[1:]
    architecture = options.architecture((c, h, w), len(images))
    with borrowed_seed(seed, "autoencoder", "weights"):
        model = ConvolutionalAutoencoder(architecture).to(device)
    if start is not None:
        if start.architecture != architecture:
            raise InputError(
                f"a network of {start.architecture} was given to start from, expected "
                f"{architecture}: take its options and images of its shape"
            )
        model.load_state_dict(start.state_dict())
    elif model.principal is not None:
        model.principal.fit(images, rows, derive_seed(seed, "autoencoder", "principal") % 2**32)
    with borrowed_seed(seed, "autoencoder", "regulariser"):
        constrain(model, options.regulariser)
    return model


def _losses(
    model: ConvolutionalAutoencoder,
    images: Tensor,
    options: TrainingOptions,
    noise: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, reconstruction term, KL term and, in training, penalty in nats per image.

    In training a latent is drawn from its posterior, and otherwise it is the posterior's mean.

    A coupled VAE (Wu et al. 2020, arXiv 2004.09189) decodes both, so that the encoder has gradients
    without noise. Theirs has a decoder for each and pulls their inputs together; of the one decoder
    here they differ by the posterior's noise alone.
    """
    x = images.float() / 255
    likelihood: Likelihood = "bernoulli" if x.shape[1] == 1 else "gaussian"
    if options.likelihood != "auto":
        likelihood = options.likelihood
    with autocast(x.device, options.precision):
        mean, log_variance = model.encode(x)
        z, kl = mean, mean.new_zeros((), dtype=torch.float32)
        penalty = kl
        if log_variance is not None:
            mean, log_variance = mean.float(), log_variance.float()
            kl = kl_to_standard_normal(mean, log_variance)
            z = reparameterise(mean, log_variance, noise) if model.training else mean
        coupled = options.coupling > 0 and model.training
        logits = model.decode(torch.cat([z, mean]) if coupled else z)
    if coupled:
        logits, of_mean = logits.chunk(2)
        penalty = options.coupling * negative_log_likelihood(of_mean, x, likelihood)
    nll = negative_log_likelihood(logits, x, likelihood)
    if options.regulariser is not None and model.training:
        penalty = options.regulariser.penalty(model, z, logits, noise)
    return nll + options.beta * kl + penalty, nll, kl, penalty

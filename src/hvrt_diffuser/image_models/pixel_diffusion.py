"""Diffusion of pixels, by diffusers: DDPM, and DDIM on the same network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import BatchSize, LearningRate, SolverSteps, Steps, Width
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.image_models.protocol import (
    ImageModel,
    ImageModelEstimator,
    check_images,
    hash_images,
    requested_labels,
)
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.steps import optimise

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, DDPMScheduler

__all__ = ["PixelDiffusion", "PixelDiffusionEstimator"]

TIMES = 1000  # Ho et al. 2020, Section 4
AT_ONCE = 64  # images that the network denoises together
GROUPS = 8  # of channels that are normalised together
PATCH = 2  # pixels a side that the network sees as channels


def _scheduler(solver: Literal["ddpm", "ddim"]) -> DDPMScheduler | DDIMScheduler:
    """Noise by a cosine, velocities as targets, steps that begin with noise alone.

    With a line of betas and the noise as target (Ho et al. 2020), most of DDIM's digits could not
    be read after a training of 1,000 steps, after which most of these can.
    """
    from diffusers import DDIMScheduler, DDPMScheduler

    return (DDPMScheduler if solver == "ddpm" else DDIMScheduler)(
        TIMES,
        beta_schedule="squaredcos_cap_v2",  # Nichol & Dhariwal 2021, arXiv 2102.09672
        prediction_type="v_prediction",  # Salimans & Ho 2022, arXiv 2202.00512
        timestep_spacing="trailing",  # Lin et al. 2024, arXiv 2305.08891
    )


class _Network(nn.Module):
    """A UNet with attention at its smallest size, conditioned on time and class.

    It sees squares of pixels as channels, which loses nothing: full size is the slowest place to
    convolve at.

    Args:
        shape: of an image.
        channels: of the UNet at each size.
        n_classes: number of classes.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], n_classes: int) -> None:
        super().__init__()
        self.size: dict[str, Any] = {
            "shape": list(shape),
            "channels": list(channels),
            "n_classes": n_classes,
        }
        try:
            from diffusers import UNet2DModel
        except ImportError as error:
            raise InputError(
                "diffusers is not installed, expected it for a diffusion of pixels: "
                "pip install 'hvrt-diffuser[rivals]'"
            ) from error
        c, h, w = shape
        levels = len(channels)
        self.unet: Any = UNet2DModel(
            sample_size=(h // PATCH, w // PATCH),
            in_channels=PATCH**2 * c,
            out_channels=PATCH**2 * c,
            block_out_channels=tuple(channels),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
            num_class_embeds=n_classes,
            norm_num_groups=GROUPS,
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Velocities at images (n, c, h, w), times int64 (n,) or (), and labels int64 (n,)."""
        patches = F.pixel_unshuffle(x, PATCH)
        return F.pixel_shuffle(self.unet(patches, t, class_labels=labels).sample, PATCH)


@dataclass(frozen=True)
class PixelDiffusion(ImageModel):
    """Draws noise images, and removes the noise in steps.

    Attributes:
        network: predicts the velocity, sqrt(a) noise - sqrt(1 - a) image at signal a.
        counts: int64 (k,), the number of images of each class that it was fitted on.
        solver: ``ddpm``, ancestral sampling (Ho et al. 2020, arXiv 2006.11239, Algorithm 2), or
            ``ddim``, without noise (Song et al. 2021, arXiv 2010.02502, Equation 12).
        steps: of it; 1000 is the whole chain of DDPM.
        origin: what it was fitted by, kept in the file's header.
    """

    network: _Network
    counts: Tensor
    solver: Literal["ddpm", "ddim"]
    steps: int
    origin: dict[str, Any]

    form: ClassVar[str] = "pixel diffusion by velocity"

    def solved_by(self, solver: Literal["ddpm", "ddim"], steps: int) -> PixelDiffusion:
        """The same network with another way to draw.

        Raises:
            InputError: a number of steps that does not divide 1000: they would not be of one size.
        """
        if steps < 1 or TIMES % steps:
            raise InputError(
                f"{steps} steps were asked for, expected a divisor of {TIMES}: choose another "
                "number, such as 50"
            )
        return replace(self, solver=solver, steps=steps)

    @torch.no_grad()
    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.image_models.ImageModel.sample`."""
        labels = requested_labels(n, labels, self.counts, generator)
        images = [self._denoised(own, generator) for own in labels.split(AT_ONCE)]
        return torch.cat(images), labels

    def _denoised(self, labels: Tensor, source: torch.Generator) -> Tensor:
        shape = (len(labels), *self.network.size["shape"])
        x = torch.randn(shape, generator=source, device=self.device)
        scheduler = _scheduler(self.solver)
        scheduler.set_timesteps(self.steps)
        for t in scheduler.timesteps:
            velocity = self.network(x, t, labels)
            x = scheduler.step(velocity, t, x, generator=source).prev_sample
        return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


@SAMPLERS.register("pixel_diffusion")
class PixelDiffusionEstimator(ImageModelEstimator):
    """How a diffusion of pixels is trained; Ho et al. 2020, with a cosine and velocities."""

    what: ClassVar[str] = "a diffusion of pixels, by a UNet of the package diffusers"

    channels: tuple[Width, ...] = Field(
        (32, 64),
        min_length=1,
        max_length=10,
        description="of the UNet at each size from a half down, multiples of 8",
    )
    training_steps: Steps = Field(6000, description="optimiser steps")
    batch_size: BatchSize = Field(64, description="images per step")
    learning_rate: LearningRate = Field(2e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "float32", description="of the convolutions in training; draws are float32"
    )
    solver: Literal["ddpm", "ddim"] = Field("ddim", description="how images are drawn")
    steps: SolverSteps = Field(
        50, description="evaluations of the network for an image, a divisor of 1000"
    )

    @field_validator("steps")
    @classmethod
    def _of_one_size(cls, steps: int) -> int:
        if TIMES % steps:
            raise ValueError(f"{steps} steps do not divide {TIMES}: choose another, such as 50")
        return steps

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.check`."""
        counts = check_images(images, labels)
        unit = PATCH * 2 ** (len(self.channels) - 1)
        if images.shape[2] % unit or images.shape[3] % unit:
            raise InputError(
                f"images of {images.shape[2]}x{images.shape[3]} pixels were given, expected sides "
                f"that are multiples of {unit}: resize them or give fewer channels"
            )
        return counts

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> PixelDiffusion:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.fit`."""
        counts = self.check(images, labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "pixel diffusion", "weights"))
            network = _Network(images.shape[1:], self.channels, len(counts)).to(device)
        scheduler = _scheduler("ddpm")
        images, labels = images.to(device), labels.to(device)

        def losses(model: Any, source: torch.Generator) -> Tensor:
            """Squared errors of velocities."""
            rows = torch.randint(len(images), (self.batch_size,), generator=source, device=device)
            x = images[rows].float() / 127.5 - 1
            t = torch.randint(TIMES, (len(x),), generator=source, device=device)
            noise = torch.randn(x.shape, generator=source, device=device)
            corrupted = scheduler.add_noise(x, noise, t)
            predicted = model(corrupted, t, labels[rows])
            velocity = scheduler.get_velocity(x, noise, t)
            return (predicted.float() - velocity).square().mean()

        network = optimise(
            network,
            losses,
            generator(seed, "pixel diffusion", "batches", device=device),
            name="training the diffusion of pixels",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
            checkpoint=checkpoint,
            setting={
                **self.model_dump(mode="json", exclude={"solver", "steps"}),
                "seed": seed,
                "images": hash_images(images, labels),
            },
        )
        return PixelDiffusion(
            network, counts.to(device), self.solver, self.steps, self.origin(seed)
        )

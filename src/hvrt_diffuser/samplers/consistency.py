"""Consistency models of latents: one evaluation of a network takes all noise away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hvrt_diffuser.common.bounds import Layers, Steps
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.diffusion import denoised
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.trained import TrainedEstimator
from hvrt_diffuser.samplers.velocity import VelocityField

__all__ = ["ConsistencyEstimator", "LatentConsistency", "lower_level"]

# Of the deviation of the noise, in units of the latents'. Images need 80 (Karras et al. 2022), as
# the mean of thousands of pixels stands out of noise that hides each of them; the numbers of a
# latent hide one by one, and less noise is less to learn.
SIGMA_MAX = 20.0
# Geng et al. 2024, with latents of deviation 1 where their images have 0.5.
P_MEAN, P_STD = -1.1 + math.log(2), 2.0
K, B = 8.0, 1.0
LEAST = 1e-4  # noise that the network is told of; below, it is not asked
STAGES = 8  # after each the steps between two levels of noise are half as long
HUBER = 0.00054  # of the square root of the dimensions; Song & Dhariwal 2023


@dataclass(frozen=True)
class LatentConsistency(CarriedNoise):
    """Draws noise of the greatest deviation, and takes it away at once."""

    network: VelocityField

    form: ClassVar[str] = "consistency model"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`."""
        return self.latent_dim

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        sigma = noise.new_full(labels.shape, SIGMA_MAX)
        return denoised(self.network, SIGMA_MAX * noise, sigma, labels)


@SAMPLERS.register("latent_consistency")
class ConsistencyEstimator(TrainedEstimator):
    """How a consistency model is trained, without a diffusion that it would be distilled from.

    Song et al. 2023 (arXiv 2303.01469): a network that gives the same latent for two levels of
    noise of one kind on it, and the latent itself without noise, gives it for noise alone. The
    levels are those of consistency tuning (Geng et al. 2024, arXiv 2406.14548): at first the
    lower one is often no noise, as a diffusion is trained, and they come closer from stage to
    stage. The loss is the pseudo-Huber one, without averaged targets (Song & Dhariwal 2023, arXiv
    2310.14189).
    """

    what: ClassVar[str] = "a consistency model of latents: one evaluation, without a teacher"

    blocks: Layers = Field(2, ge=1, description="residual blocks of two layers")
    training_steps: Steps = Field(3000, description="optimiser steps")

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> LatentConsistency:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)

        def build() -> _Trained:
            return _Trained(VelocityField(x.shape[1], len(counts), self.width, self.blocks))

        def loss(model: _Trained, rows: Tensor, source: torch.Generator) -> Tensor:
            # The share of the training that is over does not depend on when it was cut off.
            stage = model.seen.add_(1) * STAGES // (self.training_steps + 1)
            return _loss(model.field, x[rows], labels[rows], stage, source)

        network = self._train("consistency model", build, loss, x, seed).field
        return LatentConsistency(counts, network, scale, self.origin(seed))


class _Trained(nn.Module):
    """A field, and how many batches it has seen."""

    seen: Tensor

    def __init__(self, field: VelocityField) -> None:
        super().__init__()
        self.field = field
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))


def lower_level(t: Tensor, stage: Tensor) -> Tensor:
    """The level of noise (n,) that goes with t (n,) in a stage, from 0 on; 0 is none."""
    share = 1 - (1 + K * torch.sigmoid(-B * t)) / 2 ** (stage + 1)
    return (t * share).clamp(min=0)


def _loss(
    network: VelocityField, x: Tensor, labels: Tensor, stage: Tensor, source: torch.Generator
) -> Tensor:
    """Of rows (n, d) in a stage of the training."""
    t = (P_STD * torch.randn(len(x), generator=source, device=x.device) + P_MEAN).exp()
    r = lower_level(t, stage)
    noise = torch.randn(x.shape, generator=source, device=x.device)
    found = denoised(network, x + t[:, None] * noise, t, labels)
    with torch.no_grad():
        nearly = denoised(network, x + r[:, None] * noise, r.clamp(min=LEAST), labels)
        aim = torch.where(r[:, None] > 0, nearly, x)
    c = HUBER * x.shape[1] ** 0.5
    error = ((found - aim).square().sum(dim=1) + c**2).sqrt() - c
    return (error / (t - r)).mean()

"""Diffusion of latents, by two recipes: that of EDM, and that of DDPM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.bounds import BatchSize, Layers, LearningRate, SolverSteps, Steps, Width
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.protocol import SamplerEstimator, by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.velocity import VelocityField
from hvrt_diffuser.training.steps import optimise

__all__ = ["DiffusionEstimator", "LatentDiffusion", "denoised"]

Recipe = Literal["edm", "ddpm"]
# Karras et al. 2022, Table 1; latents have a deviation of 1 here, where their images have 0.5.
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7
P_MEAN, P_STD = -1.2 + math.log(2), 1.2
# Ho et al. 2020, Section 4.
TIMES, BETA_FIRST, BETA_LAST = 1000, 1e-4, 0.02


@dataclass(frozen=True)
class LatentDiffusion(CarriedNoise):
    """Draws noise, and removes it in steps.

    Attributes:
        recipe: ``edm``, Heun's method on the probability flow (Karras et al. 2022,
            arXiv 2206.00364, Algorithm 1), or ``ddpm``, ancestral sampling (Ho et al. 2020,
            arXiv 2006.11239, Algorithm 2) on evenly spaced times.
        steps: of it.
    """

    network: VelocityField
    recipe: Recipe
    steps: int

    form: ClassVar[str] = "latent diffusion"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`; ancestral sampling adds noise in each step."""
        return self.latent_dim * (1 if self.recipe == "edm" else self.steps)

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        denoise = _heun if self.recipe == "edm" else _ancestral
        return denoise(self.network, noise, labels, self.steps)


@SAMPLERS.register("latent_edm")
class DiffusionEstimator(SamplerEstimator):
    """How a diffusion of latents is trained and drawn from."""

    what: ClassVar[str] = "a diffusion of latents by EDM, drawn by Heun's method"
    network: ClassVar[bool] = True

    recipe: Recipe = Field(
        "edm", description="loss, network input and solver: of EDM, or of DDPM (noise prediction)"
    )
    width: Width = Field(384, description="of the hidden layers")
    blocks: Layers = Field(4, ge=1, description="residual blocks of two layers")
    training_steps: Steps = Field(6000, description="optimiser steps")
    batch_size: BatchSize = Field(1024, description="latents per step")
    learning_rate: LearningRate = Field(2e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "auto", description="of the matrix products in training; draws are float32"
    )
    solver_steps: SolverSteps = Field(
        18,
        le=TIMES,
        description="edm evaluates the network 2 s - 1 times for s of them, ddpm s times",
    )

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> LatentDiffusion:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "diffusion", "weights"))
            network = VelocityField(x.shape[1], len(counts), self.width, self.blocks).to(x.device)
        corrupted_loss = _edm_loss if self.recipe == "edm" else _ddpm_loss

        def losses(model: VelocityField, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (self.batch_size,), generator=source, device=x.device)
            return corrupted_loss(model, x[rows], labels[rows], source)

        network = optimise(
            network,
            losses,
            generator(seed, "diffusion", "batches", device=x.device),
            name="training the diffusion",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )
        origin = self.origin(seed)
        return LatentDiffusion(counts, network, scale, origin, self.recipe, self.solver_steps)


SAMPLERS.add_variant(
    "latent_ddpm",
    DiffusionEstimator,
    "a diffusion of latents by DDPM: noise prediction, ancestral steps",
    recipe="ddpm",
    solver_steps=50,
)


# ---- EDM


def denoised(network: VelocityField, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
    """D(x; sigma) (n, d) for x (n, d) and sigma (n,); Karras et al. 2022, Equation 7."""
    s = sigma[:, None]
    whole = (1 + s.square()).sqrt()
    prediction = network(x / whole, sigma.log() / 4, labels).float()
    return x / whole.square() + s / whole * prediction


def _edm_loss(network: VelocityField, x: Tensor, labels: Tensor, source: torch.Generator) -> Tensor:
    """Karras et al. 2022, Equation 8, with the weight (sigma^2 + 1) / sigma^2."""
    sigma = (P_STD * torch.randn(len(x), generator=source, device=x.device) + P_MEAN).exp()
    noise = torch.randn(x.shape, generator=source, device=x.device)
    error = denoised(network, x + sigma[:, None] * noise, sigma, labels) - x
    return ((1 + sigma.square().reciprocal())[:, None] * error.square()).mean()


def _heun(network: VelocityField, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    ramp = torch.linspace(SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO), steps)
    moments = [*(ramp**RHO).tolist(), 0.0]
    x = moments[0] * noise
    for now, then in zip(moments[:-1], moments[1:], strict=True):
        slope = (x - denoised(network, x, x.new_full(labels.shape, now), labels)) / now
        ahead = x + (then - now) * slope
        if then > 0:
            clean = denoised(network, ahead, x.new_full(labels.shape, then), labels)
            slope = (slope + (ahead - clean) / then) / 2
            ahead = x + (then - now) * slope
        x = ahead
    return x


# ---- DDPM


def _kept(t: Tensor) -> Tensor:
    """The share of the variance at times t, int64, that is signal."""
    betas = torch.linspace(BETA_FIRST, BETA_LAST, TIMES, dtype=torch.float64)
    return (1 - betas).cumprod(0).float().to(t.device)[t]


def _ddpm_loss(
    network: VelocityField, x: Tensor, labels: Tensor, source: torch.Generator
) -> Tensor:
    """Ho et al. 2020, Equation 14."""
    t = torch.randint(TIMES, (len(x),), generator=source, device=x.device)
    noise = torch.randn(x.shape, generator=source, device=x.device)
    kept = _kept(t)[:, None]
    corrupted = kept.sqrt() * x + (1 - kept).sqrt() * noise
    return (network(corrupted, t / TIMES, labels).float() - noise).square().mean()


def _ancestral(network: VelocityField, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    """Ancestral sampling on fewer times: the posterior of the coarser chain, of its variance."""
    times = torch.linspace(TIMES - 1, 0, steps).round().long()
    share = [*_kept(times).tolist(), 1.0]
    parts = noise.chunk(steps, dim=1)  # steps times (n, d)
    x = parts[0]
    for i, t in enumerate(times.tolist()):
        now, then = share[i], share[i + 1]
        predicted = network(x, x.new_full(labels.shape, t / TIMES), labels)
        start = (x - (1 - now) ** 0.5 * predicted) / now**0.5
        ratio = now / then  # the alpha of this step
        mean = (then**0.5 * (1 - ratio) * start + ratio**0.5 * (1 - then) * x) / (1 - now)
        x = mean
        if i + 1 < steps:
            x = mean + ((1 - then) / (1 - now) * (1 - ratio)) ** 0.5 * parts[i + 1]
    return x

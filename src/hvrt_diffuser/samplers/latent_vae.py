"""A VAE of latents: the second of two stages, with N(0, I) or a VampPrior of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hvrt_diffuser.common.bounds import BatchSize, Components, LearningRate, Steps, Width
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.perceptron import Perceptron
from hvrt_diffuser.samplers.protocol import SamplerEstimator, by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.training.steps import optimise

__all__ = ["LatentVAE", "LatentVAEEstimator"]


class _Network(nn.Module):
    """q(u | x, y) and p(x | u, y), of as many u as x; the deviation of p is learned.

    Args:
        latent_dim: dimensions of x, d.
        n_classes: number of classes, k.
        width: of the hidden layers.
        components: pseudoinputs of a class, m; 0 for N(0, I).
    """

    def __init__(self, latent_dim: int, n_classes: int, width: int, components: int) -> None:
        super().__init__()
        self.size = {
            "latent_dim": latent_dim,
            "n_classes": n_classes,
            "width": width,
            "components": components,
        }
        self.encoder = Perceptron(latent_dim, n_classes, width, 2 * latent_dim)
        self.decoder = Perceptron(latent_dim, n_classes, width, latent_dim)
        self.log_deviation = nn.Parameter(torch.zeros(()))
        self.pseudoinputs = nn.Parameter(torch.zeros(n_classes, components, latent_dim))

    def posterior(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of deviations (n, d) for x (n, d) and labels int64 (n,)."""
        mean, log_deviation = self.encoder(x, labels).float().chunk(2, dim=1)
        return mean, log_deviation

    def log_prior(self, u: Tensor, labels: Tensor) -> Tensor:
        """The logarithm of the VampPrior's density (n,) of u (n, d) for labels int64 (n,)."""
        k, m, d = self.pseudoinputs.shape
        classes = torch.arange(k, device=u.device).repeat_interleave(m)
        mean, log_deviation = self.posterior(self.pseudoinputs.reshape(k * m, d), classes)
        means, deviations = mean.view(k, m, d)[labels], log_deviation.view(k, m, d)[labels]
        return torch.logsumexp(_log_normal(u[:, None], means, deviations), dim=1) - math.log(m)

    def loss(self, x: Tensor, labels: Tensor, source: torch.Generator) -> Tensor:
        """The negative ELBO of rows (n, d), their mean, in nats."""
        mean, log_deviation = self.posterior(x, labels)
        noise = torch.randn(x.shape, generator=source, device=x.device)
        u = mean + log_deviation.exp() * noise
        likelihood = _log_normal(x, self.decoder(u, labels).float(), self.log_deviation)
        if self.pseudoinputs.shape[1]:
            divergence = _log_normal(u, mean, log_deviation) - self.log_prior(u, labels)
        else:
            variance = (2 * log_deviation).exp()
            divergence = (mean.square() + variance - 1 - 2 * log_deviation).sum(dim=1) / 2
        return (divergence - likelihood).mean()


def _log_normal(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Log-density over the last dimension."""
    z = (x - mean) / log_deviation.exp()
    return -(0.5 * z.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(dim=-1)


@dataclass(frozen=True)
class LatentVAE(CarriedNoise):
    """Draws the latent of a latent, and decodes it with the decoder's own noise."""

    network: _Network

    form: ClassVar[str] = "latent VAE"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`; of a VampPrior, the first chooses a pseudoinput."""
        return 2 * self.latent_dim + (1 if self.network.size["components"] else 0)

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        d, m = self.latent_dim, self.network.size["components"]
        u, epsilon = noise[:, -2 * d : -d], noise[:, -d:]
        if m:
            place = torch.special.ndtr(noise[:, 0].double())  # even between 0 and 1
            chosen = (m * place).long().clamp(max=m - 1)
            pseudoinputs = self.network.pseudoinputs[labels, chosen]
            mean, log_deviation = self.network.posterior(pseudoinputs, labels)
            u = mean + log_deviation.exp() * u
        x: Tensor = self.network.decoder(u, labels) + self.network.log_deviation.exp() * epsilon
        return x


@SAMPLERS.register("second_stage_vae")
class LatentVAEEstimator(SamplerEstimator):
    """How a VAE of latents is trained.

    With N(0, I) it is the second stage of Dai & Wipf 2019 (arXiv 1903.05789, Section 4): as many
    dimensions as the latents have, and a learned deviation. With a VampPrior (Tomczak & Welling
    2018, arXiv 1705.07120, Equation 9) what it draws from is the mean of its posteriors at
    pseudoinputs of each class, which are trained with it.
    """

    what: ClassVar[str] = "a VAE of the latents, with N(0, I)"
    network: ClassVar[bool] = True

    prior: Literal["standard_normal", "vamp"] = Field(
        "standard_normal", description="of the latents of latents"
    )
    pseudoinputs: Components = Field(50, description="of a class; for a VampPrior")
    width: Width = Field(512, description="of the hidden layers")
    training_steps: Steps = Field(6000, description="optimiser steps")
    batch_size: BatchSize = Field(1024, description="latents per step")
    learning_rate: LearningRate = Field(3e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "float32", description="of the matrix products in training; draws are float32"
    )

    def fit(self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> LatentVAE:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)
        components = self.pseudoinputs if self.prior == "vamp" else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "latent VAE", "weights"))
            network = _Network(x.shape[1], len(counts), self.width, components).to(x.device)
        network.pseudoinputs.data = _some_of_each(x, counts, components, seed)

        def losses(model: _Network, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (self.batch_size,), generator=source, device=x.device)
            return model.loss(x[rows], labels[rows], source)

        network = optimise(
            network,
            losses,
            generator(seed, "latent VAE", "batches", device=x.device),
            name="training the VAE of latents",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )
        return LatentVAE(counts, network, scale, self.origin(seed))


SAMPLERS.add_variant(
    "vamp_prior",
    LatentVAEEstimator,
    "a VAE of the latents with a VampPrior: pseudoinputs of each class",
    prior="vamp",
)


def _some_of_each(x: Tensor, counts: Tensor, m: int, seed: int) -> Tensor:
    """Rows (k, m, d): m of each class, with replacement, of rows (n, d) ordered by class."""
    source = generator(seed, "latent VAE", "pseudoinputs", device=x.device)
    starts = counts.cumsum(0) - counts
    places = torch.rand(len(counts), m, generator=source, device=x.device)
    return x[starts[:, None] + (places * counts[:, None]).long()]

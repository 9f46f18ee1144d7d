"""DVP-VAE: a hierarchical VAE whose VampPrior has pseudoinputs from a diffusion.

Kuzina & Tomczak 2024, arXiv 2412.01373. The pseudoinput u of an image is made of its lowest
frequencies; every level of the prior sees it, and a diffusion model is its prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.image_models.dvp_vae.blocks import ResidualBlock
from hvrt_diffuser.image_models.dvp_vae.likelihood import (
    bernoulli_log_likelihood,
    logistic_mixture_log_likelihood,
    logistic_mixture_parameters,
    sample_logistic_mixture,
)
from hvrt_diffuser.image_models.dvp_vae.prior import Denoiser, DiffusionPrior
from hvrt_diffuser.image_models.dvp_vae.pseudoinput import Pseudoinput

__all__ = ["DVPVAE", "Architecture", "Normal", "Pass"]

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -10.0, 1.0
MIN_LOG_VARIANCE_U, MAX_LOG_VARIANCE_U = -12.0, -5.0


@dataclass(frozen=True)
class Architecture:
    """What rebuilds a network.

    Attributes:
        shape: channels, height and width of an image.
        scales: (resolution, levels), from fine to coarse.
        channels: of the features, C.
        multiplier: of C, for the channels inside a residual block.
        blocks: of the encoder at each scale.
        latent_channels: of each level.
        strided_stem: whether the first convolution halves the image.
        dct_size: coefficients of the pseudoinput in each direction.
        gamma: the logarithm of noise over signal variance of the diffusion at times 0 and 1.
        denoiser_width: channels of the diffusion's network.
        denoiser_blocks: on its way in, and as many on its way out.
        components: of the discretised logistic mixture; 0 is a Bernoulli likelihood.
    """

    shape: tuple[int, int, int]
    scales: tuple[tuple[int, int], ...]
    channels: int
    multiplier: float
    blocks: int
    latent_channels: int
    strided_stem: bool
    dct_size: int
    gamma: tuple[float, float]
    denoiser_width: int
    denoiser_blocks: int
    components: int

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Architecture:
        """From JSON, which has lists for tuples."""
        scales = tuple(tuple(scale) for scale in held["scales"])
        tuples = {"shape": tuple(held["shape"]), "gamma": tuple(held["gamma"]), "scales": scales}
        return cls(**{**held, **tuples})

    def __post_init__(self) -> None:
        resolutions = [resolution for resolution, _ in self.scales]
        start = self.shape[1] // (2 if self.strided_stem else 1)
        reachable = {start // 2**i for i in range(start.bit_length())}
        if self.shape[1] != self.shape[2] or not set(resolutions) <= reachable:
            raise InputError(
                f"images of {self.shape[1]} x {self.shape[2]} and scales of {resolutions} were "
                "given, expected square images and resolutions that halve to each other: resize "
                "the images, or change the scales"
            )


class Normal(NamedTuple):
    """A diagonal normal distribution.

    Attributes:
        mean: (n, ...).
        log_variance: the same shape.
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, source: torch.Generator) -> Tensor:
        """One draw for each row."""
        noise = torch.randn(self.mean.shape, generator=source, device=self.mean.device)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def log_density(self, z: Tensor) -> Tensor:
        """Log p(z) (n,), in nats."""
        squares = (z - self.mean).square() * (-self.log_variance).exp()
        terms = squares + self.log_variance + math.log(2 * math.pi)
        return -0.5 * terms.flatten(1).sum(dim=1)

    def kl(self, other: Normal) -> Tensor:
        """KL(self, other) (n,), in nats."""
        difference = self.log_variance - other.log_variance
        squares = (self.mean - other.mean).square() * (-other.log_variance).exp()
        return 0.5 * (difference.exp() + squares - 1 - difference).flatten(1).sum(dim=1)


class Pass(NamedTuple):
    """What came of going down through the levels.

    Attributes:
        u: the pseudoinput (n, c, d, d).
        pseudoinput: q(u|x).
        latents: of each level, from coarse to fine, (n, zc, r, r).
        posteriors: q of each level.
        priors: p of each level.
        parameters: of the likelihood, (n, p, h, w).
    """

    u: Tensor
    pseudoinput: Normal
    latents: list[Tensor]
    posteriors: list[Normal]
    priors: list[Normal]
    parameters: Tensor


class _Level(nn.Module):
    """One latent: its prior, its posterior, and what it adds to the state."""

    def __init__(self, a: Architecture, resolution: int, n_levels: int, is_last: bool) -> None:
        super().__init__()
        hidden, width, zc = math.floor(a.multiplier * a.channels), a.channels, a.latent_channels
        self.resolution = resolution
        # The state ends before the last level's latent, which nothing below could use.
        n_prior = 2 * zc + (0 if is_last else width)
        self.prior = ResidualBlock(width + a.shape[0], hidden, n_prior, activate_first=False)
        self.posterior = ResidualBlock(width, hidden, 2 * zc, activate_first=False)
        for block in (self.prior, self.posterior):
            nn.init.zeros_(block.last.weight)
            if block.last.bias is not None:
                nn.init.zeros_(block.last.bias)
        self.zc = zc
        if not is_last:
            self.from_latent = nn.Conv2d(zc, width, 1)
            self.merge = ResidualBlock(width, hidden, width, activate_first=False)
            with torch.no_grad():
                for layer in (self.from_latent, self.merge.last):
                    layer.weight.mul_(n_levels**-0.5)

    def p(self, state: Tensor, context: Tensor) -> tuple[Normal, Tensor]:
        """The prior, and what its network adds to the state."""
        found = self.prior(torch.cat([state, context], dim=1))
        return _normal(found[:, : 2 * self.zc]), found[:, 2 * self.zc :]

    def q(self, state: Tensor, features: Tensor) -> Normal:
        """The posterior."""
        return _normal(self.posterior((features + state) / 2**0.5))

    def advance(self, state: Tensor, added: Tensor, z: Tensor) -> Tensor:
        """The state below this level."""
        below: Tensor = self.merge(state + added + self.from_latent(z))
        return below


def _normal(parameters: Tensor) -> Normal:
    mean, log_variance = parameters.chunk(2, dim=1)
    return Normal(mean, log_variance.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE))


class DVPVAE(nn.Module):
    """The network; images are (n, c, h, w) in [0, 1], binary for a Bernoulli likelihood.

    Args:
        architecture: what to build, or JSON of it.
    """

    def __init__(self, architecture: Architecture | Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(architecture, Architecture):
            architecture = Architecture.read(architecture)
        a = self.architecture = architecture
        self.size = {"architecture": asdict(architecture)}
        c = a.shape[0]
        hidden = math.floor(a.multiplier * a.channels)
        self.pseudoinput = Pseudoinput(a.shape, a.dct_size)
        self.log_variance_u = nn.Parameter(torch.full((c, a.dct_size, a.dct_size), a.gamma[0]))
        denoiser = Denoiser(c, a.denoiser_width, a.denoiser_blocks)
        self.prior = DiffusionPrior(denoiser, (c, a.dct_size, a.dct_size), a.gamma)

        self.stem = (
            nn.Conv2d(c, a.channels, 4, stride=2, padding=1)
            if a.strided_stem
            else nn.Conv2d(c, a.channels, 1)
        )
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(a.channels, hidden, a.channels, activate_first=True)
                    for _ in range(a.blocks)
                )
            )
            for _ in a.scales
        )
        resolutions = [r for r, n_levels in reversed(a.scales) for _ in range(n_levels)]
        last = len(resolutions) - 1
        self.levels = nn.ModuleList(
            _Level(a, resolution, len(resolutions), i == last)
            for i, resolution in enumerate(resolutions)
        )
        n_out = logistic_mixture_parameters(c, a.components) if a.components else c
        self.head = nn.Sequential(
            nn.Conv2d(a.latent_channels, a.channels, 3, padding=1),
            ResidualBlock(a.channels, hidden, a.channels, activate_first=False),
            nn.SiLU(),
            nn.Conv2d(a.channels, n_out, 3, padding=1),
        )

    def q_u(self, x: Tensor) -> Normal:
        """q(u|x), whose mean holds no parameter."""
        mean = self.pseudoinput(x)
        log_variance = self.log_variance_u.clamp(MIN_LOG_VARIANCE_U, MAX_LOG_VARIANCE_U)
        return Normal(mean, log_variance.expand_as(mean))

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """What the encoder makes of images, by resolution."""
        h = self.stem(2 * x - 1)
        found = {}
        for (resolution, _), blocks in zip(self.architecture.scales, self.encoder, strict=True):
            h = blocks(h)
            while h.shape[-1] > resolution:
                h = F.avg_pool2d(h, 2)
            found[resolution] = h
        return found

    def descend(
        self, u: Tensor, features: dict[int, Tensor] | None, source: torch.Generator
    ) -> tuple[list[Tensor], list[Normal], list[Normal]]:
        """Latents, posteriors and priors of all levels, from coarse to fine.

        Args:
            u: (n, c, d, d).
            features: of images, whose posterior is drawn from; None draws from the prior.
            source: of the draws.
        """
        context = self.pseudoinput.back(u)
        coarsest = self.architecture.scales[-1][0]
        state = u.new_ones(len(u), self.architecture.channels, coarsest, coarsest)
        latents: list[Tensor] = []
        posteriors: list[Normal] = []
        priors: list[Normal] = []
        for i, level in enumerate(self.levels):
            assert isinstance(level, _Level)
            r = level.resolution
            if state.shape[-1] != r:
                state = F.interpolate(state, size=(r, r), mode="bilinear", align_corners=False)
            prior, added = level.p(state, F.adaptive_avg_pool2d(context, r))
            priors.append(prior)
            if features is not None:
                posteriors.append(level.q(state, features[r]))
            latents.append((prior if features is None else posteriors[-1]).draw(source))
            if i < len(self.levels) - 1:
                state = level.advance(state, added, latents[-1])
        return latents, posteriors, priors

    def decode(self, latents: list[Tensor]) -> Tensor:
        """Parameters of the likelihood; whatever they depend on has gone through the latents."""
        size = self.architecture.shape[1:]
        total = sum(F.interpolate(z, size=size, mode="nearest") for z in latents)
        assert isinstance(total, Tensor)
        parameters: Tensor = self.head(total / len(latents) ** 0.5)
        return parameters

    def forward(self, x: Tensor, source: torch.Generator) -> Pass:
        """One draw of u and of all latents from their posteriors."""
        q_u = self.q_u(x)
        u = q_u.draw(source)
        latents, posteriors, priors = self.descend(u, self.features(x), source)
        return Pass(u, q_u, latents, posteriors, priors, self.decode(latents))

    def log_likelihood(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p(x|z) (n,), in nats."""
        if self.architecture.components:
            return logistic_mixture_log_likelihood(parameters, x)
        return bernoulli_log_likelihood(parameters, x)

    @torch.no_grad()
    def sample(self, n: int, steps: int, source: torch.Generator) -> Tensor:
        """Images (n, c, h, w) in [0, 1]: of a Bernoulli likelihood its means, else draws.

        Args:
            n: how many.
            steps: of the diffusion.
            source: of all randomness; on the network's device.
        """
        u = self.prior.sample(n, steps, source)
        parameters = self.decode(self.descend(u, None, source)[0])
        if not self.architecture.components:
            return parameters.sigmoid()
        return sample_logistic_mixture(parameters, self.architecture.shape[0], source)

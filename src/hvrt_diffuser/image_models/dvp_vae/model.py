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
from hvrt_diffuser.image_models.dvp_vae.prior import Denoiser, DiffusionPrior, MixturePrior
from hvrt_diffuser.image_models.dvp_vae.pseudoinput import Downsampled, Pseudoinput

__all__ = ["DVPVAE", "Architecture", "Descent", "Normal", "Pass"]

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -10.0, 1.0
MIN_LOG_VARIANCE_U, MAX_LOG_VARIANCE_U = -12.0, -5.0
MIXED = 100  # Gaussians of a prior that is no diffusion


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
        pseudoinput_size: numbers of the pseudoinput in each direction.
        gamma: the logarithm of noise over signal variance of the diffusion at times 0 and 1.
        denoiser_width: channels of the diffusion's network.
        denoiser_blocks: on its way in, and as many on its way out.
        components: of the discretised logistic mixture; 0 is a Bernoulli likelihood.
        classes: on one of which both priors are conditioned; 0 is none, as published.
        pseudoinput: ``dct``, the lowest frequencies, or ``downsampled``, means of squares.
        pseudoinput_prior: ``diffusion``, or ``mixture`` of Gaussians.
        aggregation: whether the sum of all latents alone reaches the likelihood, as published;
            else the state does that they have left.
    """

    shape: tuple[int, int, int]
    scales: tuple[tuple[int, int], ...]
    channels: int
    multiplier: float
    blocks: int
    latent_channels: int
    strided_stem: bool
    pseudoinput_size: int
    gamma: tuple[float, float]
    denoiser_width: int
    denoiser_blocks: int
    components: int
    classes: int = 0
    pseudoinput: str = "dct"
    pseudoinput_prior: str = "diffusion"
    aggregation: bool = True

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
        if not 1 <= self.pseudoinput_size <= self.shape[1]:
            raise InputError(
                f"pseudoinput_size is {self.pseudoinput_size} for images of {self.shape[1]} x "
                f"{self.shape[2]}, expected 1 to {self.shape[1]}: choose one of these"
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


class Descent(NamedTuple):
    """What came of going down through the levels.

    Attributes:
        latents: of each level, from coarse to fine, (n, zc, r, r).
        posteriors: q of each level; none where the latents are drawn from the prior.
        priors: p of each level.
        state: that the last level was given (n, C, r, r), or without aggregation has left.
    """

    latents: list[Tensor]
    posteriors: list[Normal]
    priors: list[Normal]
    state: Tensor


class Pass(NamedTuple):
    """What came of an image.

    Attributes:
        u: the pseudoinput (n, c, d, d).
        pseudoinput: q(u|x).
        latents, posteriors, priors: as in :class:`Descent`.
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
        # With aggregation the state ends before the last latent: nothing below could use it.
        self.ends = is_last and a.aggregation
        n_prior = 2 * zc + (0 if self.ends else width)
        self.prior = ResidualBlock(width + a.shape[0], hidden, n_prior, activate_first=False)
        self.posterior = ResidualBlock(width, hidden, 2 * zc, activate_first=False)
        for block in (self.prior, self.posterior):
            nn.init.zeros_(block.last.weight)
            if block.last.bias is not None:
                nn.init.zeros_(block.last.bias)
        self.zc = zc
        if not self.ends:
            self.from_latent = nn.Conv2d(zc, width, 1)
            merge = ResidualBlock(width, hidden, width, activate_first=False)
            self.merge = nn.Identity() if is_last else merge
            with torch.no_grad():
                for layer in (self.from_latent, merge.last):
                    layer.weight.mul_(n_levels**-0.5)
        self.label = nn.Embedding(a.classes, width) if a.classes else None

    def p(self, state: Tensor, context: Tensor, labels: Tensor | None) -> tuple[Normal, Tensor]:
        """The prior, and what its network adds to the state."""
        if self.label is not None:
            assert labels is not None, "checked above"
            state = state + self.label(labels)[:, :, None, None]
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

    With classes, every method that takes labels int64 (n,) has to be given them; without, they
    are not looked at.

    Args:
        architecture: what to build, or JSON of it.
    """

    share: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, architecture: Architecture | Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(architecture, Architecture):
            architecture = Architecture.read(architecture)
        a = self.architecture = architecture
        self.size = {"architecture": asdict(architecture)}
        c = a.shape[0]
        hidden = math.floor(a.multiplier * a.channels)
        of_u = (c, a.pseudoinput_size, a.pseudoinput_size)
        kind = Pseudoinput if a.pseudoinput == "dct" else Downsampled
        self.pseudoinput = kind(a.shape, a.pseudoinput_size)
        self.log_variance_u = nn.Parameter(torch.full(of_u, a.gamma[0]))
        self.prior: DiffusionPrior | MixturePrior
        if a.pseudoinput_prior == "diffusion":
            denoiser = Denoiser(c, a.denoiser_width, a.denoiser_blocks, a.classes)
            self.prior = DiffusionPrior(denoiser, of_u, a.gamma)
        else:
            self.prior = MixturePrior(of_u, MIXED, a.classes)
        self.register_buffer("share", torch.full((a.classes,), 1 / max(1, a.classes)))
        # What the encoder sees is in [-1, 1], or of colour standardised.
        self.register_buffer("centre", torch.full((c, 1, 1), 0.5))
        self.register_buffer("spread", torch.full((c, 1, 1), 0.5))

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
            nn.Conv2d(a.latent_channels if a.aggregation else a.channels, a.channels, 3, padding=1),
            ResidualBlock(a.channels, hidden, a.channels, activate_first=False),
            nn.SiLU(),
            nn.Conv2d(a.channels, n_out, 3, padding=1),
        )
        self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU

    def q_u(self, x: Tensor) -> Normal:
        """q(u|x), whose mean holds no parameter."""
        mean = self.pseudoinput(x)
        log_variance = self.log_variance_u.clamp(MIN_LOG_VARIANCE_U, MAX_LOG_VARIANCE_U)
        return Normal(mean, log_variance.expand_as(mean))

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """What the encoder makes of images, by resolution."""
        h = self.stem((x - self.centre) / self.spread)
        found = {}
        for (resolution, _), blocks in zip(self.architecture.scales, self.encoder, strict=True):
            h = blocks(h)
            while h.shape[-1] > resolution:
                h = F.avg_pool2d(h, 2)
            found[resolution] = h
        return found

    def descend(
        self,
        u: Tensor,
        features: dict[int, Tensor] | None,
        source: torch.Generator,
        labels: Tensor | None = None,
    ) -> Descent:
        """Latents, posteriors and priors of all levels, from coarse to fine.

        Args:
            u: (n, c, d, d).
            features: of images, whose posterior is drawn from; None draws from the prior.
            source: of the draws.
            labels: int64 (n,).

        Raises:
            InputError: see :meth:`given`.
        """
        labels = self.given(labels)
        context = self.pseudoinput.back(u)
        coarsest = self.architecture.scales[-1][0]
        state = u.new_ones(len(u), self.architecture.channels, coarsest, coarsest)
        latents: list[Tensor] = []
        posteriors: list[Normal] = []
        priors: list[Normal] = []
        for level in self.levels:
            assert isinstance(level, _Level)
            r = level.resolution
            if state.shape[-1] != r:
                state = F.interpolate(state, size=(r, r), mode="bilinear", align_corners=False)
            prior, added = level.p(state, F.adaptive_avg_pool2d(context, r), labels)
            priors.append(prior)
            if features is not None:
                posteriors.append(level.q(state, features[r]))
            latents.append((prior if features is None else posteriors[-1]).draw(source))
            if not level.ends:
                state = level.advance(state, added, latents[-1])
        return Descent(latents, posteriors, priors, state)

    def given(self, labels: Tensor | None) -> Tensor | None:
        """The labels that a network of classes was given; None of one without.

        Raises:
            InputError: there are classes and no labels.
        """
        if not self.architecture.classes:
            return None
        if labels is None:
            raise InputError(
                f"no labels were given to a DVP-VAE of {self.architecture.classes} classes, "
                "expected one for each image: give them"
            )
        return labels.to(self.share.device)

    def decode(self, found: Descent) -> Tensor:
        """Parameters of the likelihood (n, p, h, w).

        With aggregation, whatever they depend on has gone through the latents.
        """
        size = self.architecture.shape[1:]
        whole = found.latents if self.architecture.aggregation else [found.state]
        total = sum(F.interpolate(each, size=size, mode="nearest") for each in whole)
        assert isinstance(total, Tensor)
        parameters: Tensor = self.head(total / len(whole) ** 0.5)
        return parameters

    def forward(self, x: Tensor, source: torch.Generator, labels: Tensor | None = None) -> Pass:
        """One draw of u and of all latents from their posteriors."""
        q_u = self.q_u(x)
        u = q_u.draw(source)
        found = self.descend(u, self.features(x), source, labels)
        return Pass(u, q_u, *found[:3], self.decode(found))

    def log_likelihood(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log p(x|z) (n,), in nats."""
        if self.architecture.components:
            return logistic_mixture_log_likelihood(parameters, x)
        return bernoulli_log_likelihood(parameters, x)

    @torch.no_grad()
    def sample(
        self, n: int, steps: int, source: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Images (n, c, h, w) in [0, 1]: of a Bernoulli likelihood its means, else draws.

        Args:
            n: how many.
            steps: of the diffusion.
            source: of all randomness; on the network's device.
            labels: int64 (n,).
        """
        u = self.prior.sample(n, steps, source, self.given(labels))
        return self.images(u, source, labels)

    @torch.no_grad()
    def images(self, u: Tensor, source: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Images, as :meth:`sample` gives them, of pseudoinputs (n, c, d, d) alone."""
        parameters = self.decode(self.descend(u, None, source, labels))
        if not self.architecture.components:
            return parameters.sigmoid()
        return sample_logistic_mixture(parameters, self.architecture.shape[0], source)

"""The samplers that HVRT is compared with: the prior, and the posterior of a VAE."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import ProductKernel
from hvrt_diffuser.samplers.protocol import (
    Draws,
    LatentSampler,
    SamplerEstimator,
    check_latents,
)
from hvrt_diffuser.samplers.randomness import (
    choose_below,
    normal,
    random_words,
    symmetric_uniform,
)

__all__ = ["PosteriorEstimator", "StandardNormal", "StandardNormalEstimator"]


@dataclass(frozen=True)
class StandardNormal(LatentSampler):
    """N(0, I), with labels that are independent of the latents.

    Attributes:
        latent_dim: dimensions of a latent.
        counts: int64 (k,), the real number of images of each class.
        origin: kept in the file's header.
    """

    latent_dim: int
    counts: Tensor
    origin: dict[str, Any] = field(default_factory=lambda: {"sampler": "standard_normal"})

    form: ClassVar[str] = "standard normal"

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`; no draw starts from a latent."""
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        words = random_words(n, 1 + (self.latent_dim + 1) // 2, generator, self.device)
        if labels is None:
            ends = self.counts.cumsum(0)
            row = choose_below(words[:, 0], ends[-1])
            labels = torch.bucketize(row, ends, right=True)
        latents = normal(symmetric_uniform(words[:, 1:], self.latent_dim))
        return Draws(latents, labels.to(self.device), None)


@SAMPLERS.register("standard_normal")
class StandardNormalEstimator(SamplerEstimator):
    """The prior of a VAE."""

    what: ClassVar[str] = "N(0, I), which a plain autoencoder was not trained for"

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> StandardNormal:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`; only their number matters."""
        labels = check_latents(latents, labels)
        return StandardNormal(latents.shape[1], torch.bincount(labels), self.origin(seed))


@SAMPLERS.register("posterior")
class PosteriorEstimator(SamplerEstimator):
    """The reparameterisation of a VAE: a training image's posterior, and a draw from it.

    The posterior of a labelled image is the only part of a VAE that has a label, so a labelled
    draw is a training image encoded with the posterior's noise: it says nothing about novelty.
    """

    what: ClassVar[str] = "a VAE's posterior of a training image"
    uses: ClassVar[frozenset[str]] = frozenset({"deviations"})

    def fit(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        deviations: Tensor | None = None,
    ) -> SmoothedBootstrap:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Args:
            latents: the means of the posteriors, float32 (n, d).
            labels: int64 (n,).
            seed: does not matter.
            deviations: standard deviations float32 (n, d).

        Raises:
            InputError: no deviations (the autoencoder is no VAE), or latents that do not fit.
        """
        if deviations is None:
            raise InputError(
                "no deviations were given, expected those of the posteriors of a VAE: train the "
                "autoencoder with beta above 0"
            )
        labels = check_latents(latents, labels)
        if (
            deviations.shape != latents.shape
            or not (torch.isfinite(deviations) & (deviations >= 0)).all()
        ):
            raise InputError(
                f"deviations of shape {tuple(deviations.shape)} were given for means of shape "
                f"{tuple(latents.shape)}, expected as many, finite and not negative: encode the "
                "images again"
            )
        order = torch.argsort(labels, stable=True)
        own = Neighbourhoods(
            torch.arange(len(order), device=latents.device)[None],
            ProductKernel(deviations[order], "normal"),
        )
        counts = torch.bincount(labels)
        return SmoothedBootstrap(latents[order], counts, own, own, self.origin(seed))

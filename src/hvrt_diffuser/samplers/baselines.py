"""The samplers that HVRT is compared with: the prior, and the posterior of a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.samplers.bootstrap import KIND, Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import ProductKernel
from hvrt_diffuser.samplers.protocol import (
    Draws,
    check_latents,
)
from hvrt_diffuser.samplers.randomness import (
    choose_below,
    normal,
    random_words,
    symmetric_uniform,
)

__all__ = ["StandardNormal", "fit_posterior"]


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I), with labels that are independent of the latents.

    Attributes:
        latent_dim: dimensions of a latent.
        counts: int64 (k,), the real number of images of each class.
        origin: kept in the file's header.
    """

    latent_dim: int
    counts: Tensor
    origin: dict[str, Any] = field(default_factory=lambda: {"sampler": "standard normal"})

    form: ClassVar[str] = "standard normal"

    @classmethod
    def fit(cls, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> StandardNormal:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`; only their number matters."""
        labels = check_latents(latents, labels)
        return cls(latents.shape[1], torch.bincount(labels))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.counts.device

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.sample`."""
        latents, labels, _ = self.draw(n, labels, generator=generator)
        return latents, labels

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

    def to(self, device: torch.device | str) -> StandardNormal:
        """The same sampler on another device."""
        return StandardNormal(self.latent_dim, self.counts.to(device), self.origin)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, *self.packed())

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header."""
        header = {
            "kind": KIND,
            "form": self.form,
            "latent_dim": self.latent_dim,
            "origin": self.origin,
        }
        return {"counts": self.counts}, header

    @classmethod
    def build(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> StandardNormal:
        """The opposite of :meth:`packed`."""
        return cls(header["latent_dim"], tensors["counts"], header["origin"])


def fit_posterior(means: Tensor, deviations: Tensor | None, labels: Tensor) -> SmoothedBootstrap:
    """The reparameterisation of a VAE: a training image's posterior, and a draw from it.

    The posterior of a labelled image is the only part of a VAE that has a label, so a labelled
    draw is a training image encoded with the posterior's noise: it says nothing about novelty.

    Args:
        means: float32 (n, d).
        deviations: standard deviations float32 (n, d).
        labels: int64 (n,).

    Raises:
        InputError: no deviations (the autoencoder is no VAE), or latents that do not fit.
    """
    if deviations is None:
        raise InputError(
            "the autoencoder has no posterior to draw from, expected a VAE: train it with "
            "beta above 0"
        )
    labels = check_latents(means, labels)
    if (
        deviations.shape != means.shape
        or not (torch.isfinite(deviations) & (deviations >= 0)).all()
    ):
        raise InputError(
            f"deviations of shape {tuple(deviations.shape)} were given for means of shape "
            f"{tuple(means.shape)}, expected as many, finite and not negative: encode the images "
            "again"
        )
    order = torch.argsort(labels, stable=True)
    own = Neighbourhoods(
        torch.arange(len(means), device=means.device)[None],
        ProductKernel(deviations[order], "normal"),
    )
    return SmoothedBootstrap(
        means[order], torch.bincount(labels), own, own, {"sampler": "posterior"}
    )

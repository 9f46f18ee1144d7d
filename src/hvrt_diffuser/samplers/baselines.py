"""The samplers that HVRT is compared with: the prior, and the posterior of a VAE."""

from __future__ import annotations

import torch
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.samplers.bootstrap import (
    Neighbourhoods,
    SmoothedBootstrap,
    uniform_to_normal,
)
from hvrt_diffuser.samplers.protocol import check_latents, check_requested_labels

__all__ = ["StandardNormal", "fit_posterior"]


class StandardNormal:
    """N(0, I), with labels that are independent of the latents.

    Args:
        latent_dim: dimensions of a latent.
        counts: int64 (k,), the real number of images of each class.
    """

    def __init__(self, latent_dim: int, counts: Tensor) -> None:
        self.latent_dim = latent_dim
        self.counts = counts
        self.origin: dict[str, str] = {"sampler": "standard normal"}

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.sample`."""
        check_requested_labels(n, labels, self.n_classes)
        u = torch.rand(n, 1 + self.latent_dim, generator=generator)  # (n, 1 + d)
        if labels is None:
            share = self.counts.double().cumsum(0) / self.counts.sum()
            labels = torch.bucketize(u[:, 0].double(), share, right=True)
        return uniform_to_normal(u[:, 1:]), labels


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
    n_classes = check_latents(means, labels)
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
    own = Neighbourhoods(torch.arange(len(means)), deviations[order])
    counts = torch.bincount(labels, minlength=n_classes)
    return SmoothedBootstrap(means[order], counts, own, own, "normal", {"sampler": "posterior"})

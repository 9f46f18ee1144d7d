"""Bounds of the likelihood of images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Pass
from hvrt_diffuser.image_models.dvp_vae.prior import stratified_times

__all__ = ["Bounds", "Terms", "bounds", "importance_weighted", "training_terms"]

ACTIVE = 0.01  # variance of a posterior mean over images; Burda et al. 2016, Section 4.2


@dataclass(frozen=True)
class Terms:
    """What the negative ELBO is made of, in nats per image, each (n,).

    Attributes:
        nll: -log p(x|z).
        pseudoinput: log q(u|x) - log r(u), or its upper bound.
        levels: (levels, n), KL of each level, from coarse to fine.
    """

    nll: Tensor
    pseudoinput: Tensor
    levels: Tensor

    @property
    def total(self) -> Tensor:
        """-ELBO (n,)."""
        return self.nll + self.pseudoinput + self.levels.sum(dim=0)


def _terms(model: DVPVAE, x: Tensor, found: Pass, prior_bound: Tensor) -> Terms:
    entropy = 0.5 * (found.pseudoinput.log_variance + 1 + math.log(2 * math.pi))
    pairs = zip(found.posteriors, found.priors, strict=True)
    return Terms(
        -model.log_likelihood(found.parameters, x),
        prior_bound - entropy.flatten(1).sum(dim=1),
        torch.stack([q.kl(p) for q, p in pairs]),
    )


def training_terms(model: DVPVAE, x: Tensor, source: torch.Generator) -> Terms:
    """The terms for one draw and one time each; times are spread evenly over the batch."""
    found = model(x, source)
    t = stratified_times(1, len(x), source)[:, 0]
    t = t[torch.randperm(len(x), generator=source, device=x.device)]
    noise = torch.randn(found.u.shape, generator=source, device=x.device)
    return _terms(model, x, found, model.prior.bound(found.u, t, noise))


def importance_weighted(log_weights: Tensor) -> Tensor:
    """Log of the mean of exp(log_weights) (k, n) over k, (n,): Burda et al. 2016, Equation 8."""
    return log_weights.logsumexp(dim=0) - math.log(len(log_weights))


def _log_weight(model: DVPVAE, x: Tensor, times: int, source: torch.Generator) -> Tensor:
    """Log w (n,) with sampled densities; a KL in closed form would make it no bound."""
    found = model(x, source)
    total = model.log_likelihood(found.parameters, x)
    for z, q, p in zip(found.latents, found.posteriors, found.priors, strict=True):
        total = total + p.log_density(z) - q.log_density(z)
    # The bound of log r(u) is averaged until its noise is negligible before it is exponentiated.
    total = total - model.prior.mean_bound(found.u, times, source)
    return total - found.pseudoinput.log_density(found.u)


@dataclass(frozen=True)
class Bounds:
    """What is known of the likelihood of images, in nats per image.

    Attributes:
        elbo: the negative evidence lower bound, -ELBO.
        nll: its part -log p(x|z).
        pseudoinput: its part of u.
        levels: its part of each level, from coarse to fine.
        active_units: of each level, the latents whose posterior mean varies over the images.
        iwae: the negative importance-weighted bound; None where it was not asked for.
        iwae_samples: its draws per image.
    """

    elbo: float
    nll: float
    pseudoinput: float
    levels: list[float]
    active_units: list[int]
    iwae: float | None
    iwae_samples: int


@torch.no_grad()
def bounds(
    model: DVPVAE,
    images: Tensor,
    *,
    source: torch.Generator,
    times: int = 64,
    iwae_samples: int = 0,
    iwae_images: int = 1000,
    batch_size: int = 250,
) -> Bounds:
    """Evaluate images (n, c, h, w) in [0, 1], binary for a Bernoulli likelihood.

    Args:
        model: in evaluation mode.
        images: on the model's device.
        source: of posterior draws, times and noise.
        times: stratified, of the diffusion, for each draw.
        iwae_samples: K of the importance-weighted bound, 0 for none.
        iwae_images: the first images, for which it is computed.
        batch_size: images at once.
    """
    parts: list[Terms] = []
    means: list[list[Tensor]] = []
    for x in images.split(batch_size):
        found = model(x, source)
        parts.append(_terms(model, x, found, model.prior.mean_bound(found.u, times, source)))
        means.append([q.mean for q in found.posteriors])
    spread = [torch.cat(level).var(dim=0) for level in zip(*means, strict=True)]
    iwae = None
    if iwae_samples:
        log_weights = [
            torch.stack([_log_weight(model, x, times, source) for _ in range(iwae_samples)])
            for x in images[:iwae_images].split(batch_size)
        ]
        iwae = -importance_weighted(torch.cat(log_weights, dim=1)).double().mean().item()
    return Bounds(
        elbo=torch.cat([part.total for part in parts]).double().mean().item(),
        nll=torch.cat([part.nll for part in parts]).double().mean().item(),
        pseudoinput=torch.cat([part.pseudoinput for part in parts]).double().mean().item(),
        levels=torch.cat([part.levels for part in parts], dim=1).double().mean(dim=1).tolist(),
        active_units=[int((level > ACTIVE).sum()) for level in spread],
        iwae=iwae,
        iwae_samples=iwae_samples,
    )

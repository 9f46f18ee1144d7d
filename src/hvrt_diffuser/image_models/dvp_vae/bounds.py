"""Bounds of the likelihood of images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Pass
from hvrt_diffuser.image_models.dvp_vae.prior import stratified_times

__all__ = [
    "Bounds",
    "Terms",
    "bounds",
    "check_pixels",
    "importance_weighted",
    "training_terms",
]

ACTIVE = 0.01  # variance of a posterior mean over images; Burda et al. 2016, Section 4.2


@dataclass(frozen=True)
class Terms:
    """What the negative ELBO is made of, in nats per image, each (n,).

    Attributes:
        nll: -log p(x|z).
        pseudoinput: log q(u|x) - log r(u), or its upper bound.
        levels: (levels, n), KL of each level, from coarse to fine.
        label: -log p(y) of the class, 0 without classes: p(x) is at least p(x|y) p(y).
    """

    nll: Tensor
    pseudoinput: Tensor
    levels: Tensor
    label: Tensor

    @property
    def total(self) -> Tensor:
        """-ELBO (n,)."""
        return self.nll + self.pseudoinput + self.levels.sum(dim=0) + self.label


def _of_label(model: DVPVAE, labels: Tensor | None, n: int) -> Tensor:
    """-log p(y) (n,)."""
    return model.share.new_zeros(n) if labels is None else -model.share[labels].log()


def _terms(
    model: DVPVAE, x: Tensor, found: Pass, prior_bound: Tensor, labels: Tensor | None
) -> Terms:
    entropy = 0.5 * (found.pseudoinput.log_variance + 1 + math.log(2 * math.pi))
    pairs = zip(found.posteriors, found.priors, strict=True)
    return Terms(
        -model.log_likelihood(found.parameters, x),
        prior_bound - entropy.flatten(1).sum(dim=1),
        torch.stack([q.kl(p) for q, p in pairs]),
        _of_label(model, labels, len(x)),
    )


def training_terms(
    model: DVPVAE, x: Tensor, source: torch.Generator, labels: Tensor | None = None
) -> Terms:
    """The terms for one draw and one time each; times are spread evenly over the batch."""
    labels = model.given(labels)
    found = model(x, source, labels)
    t = stratified_times(1, len(x), source)[:, 0]
    t = t[torch.randperm(len(x), generator=source, device=x.device)]
    noise = torch.randn(found.u.shape, generator=source, device=x.device)
    return _terms(model, x, found, model.prior.bound(found.u, t, noise, labels), labels)


def importance_weighted(log_weights: Tensor) -> Tensor:
    """Log of the mean of exp(log_weights) (k, n) over k, (n,): Burda et al. 2016, Equation 8."""
    return log_weights.logsumexp(dim=0) - math.log(len(log_weights))


def _log_weight(
    model: DVPVAE, x: Tensor, labels: Tensor | None, times: int, source: torch.Generator
) -> Tensor:
    """Log w (n,) with sampled densities; a KL in closed form would make it no bound."""
    found = model(x, source, labels)
    total = model.log_likelihood(found.parameters, x) - _of_label(model, labels, len(x))
    for z, q, p in zip(found.latents, found.posteriors, found.priors, strict=True):
        total = total + p.log_density(z) - q.log_density(z)
    # The bound of log r(u) is averaged until its noise is negligible before it is exponentiated.
    total = total - model.prior.mean_bound(found.u, times, source, labels)
    return total - found.pseudoinput.log_density(found.u)


@dataclass(frozen=True)
class Bounds:
    """What is known of the likelihood of images, in nats per image.

    Attributes:
        elbo: the negative evidence lower bound, -ELBO.
        nll: its part -log p(x|z).
        pseudoinput: its part of u.
        levels: its part of each level, from coarse to fine.
        label: its part of the class, the surprise that it is this one.
        active_units: of each level, the latents whose posterior mean varies over the images.
        iwae: the negative importance-weighted bound; None where it was not asked for.
        iwae_samples: its draws per image.
        bits_per_dim: -ELBO in bits, divided by the numbers of an image; None of binary images.
    """

    elbo: float
    nll: float
    pseudoinput: float
    levels: list[float]
    label: float
    active_units: list[int]
    iwae: float | None
    iwae_samples: int
    bits_per_dim: float | None


@torch.no_grad()
def bounds(
    model: DVPVAE,
    images: Tensor,
    *,
    source: torch.Generator,
    labels: Tensor | None = None,
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
        labels: int64 (n,), of a model of classes; the bounds are of the images alone all the same.
        times: stratified, of the diffusion, for each draw.
        iwae_samples: K of the importance-weighted bound, 0 for none.
        iwae_images: the first images, for which it is computed.
        batch_size: images at once.

    Raises:
        InputError: images that are not as the likelihood has them, or labels that are missing.
    """
    check_pixels(model, images)
    labels = model.given(labels)
    if labels is not None and len(labels) != len(images):
        raise InputError(
            f"{len(labels)} labels were given for {len(images)} images, expected one each: give "
            "those of these images"
        )
    whole = _batches(images, labels, batch_size)
    parts: list[Terms] = []
    means: list[list[Tensor]] = []
    for x, own in whole:
        found = model(x, source, own)
        prior_bound = model.prior.mean_bound(found.u, times, source, own)
        parts.append(_terms(model, x, found, prior_bound, own))
        means.append([q.mean for q in found.posteriors])
    spread = [torch.cat(level).var(dim=0) for level in zip(*means, strict=True)]
    iwae = None
    if iwae_samples:
        some = _batches(
            images[:iwae_images], None if labels is None else labels[:iwae_images], batch_size
        )
        log_weights = [
            torch.stack([_log_weight(model, x, own, times, source) for _ in range(iwae_samples)])
            for x, own in some
        ]
        iwae = -importance_weighted(torch.cat(log_weights, dim=1)).double().mean().item()
    elbo = torch.cat([part.total for part in parts]).double().mean().item()
    bits = elbo / (images[0].numel() * math.log(2)) if model.architecture.components else None
    return Bounds(
        elbo=elbo,
        nll=torch.cat([part.nll for part in parts]).double().mean().item(),
        pseudoinput=torch.cat([part.pseudoinput for part in parts]).double().mean().item(),
        levels=torch.cat([part.levels for part in parts], dim=1).double().mean(dim=1).tolist(),
        label=torch.cat([part.label for part in parts]).double().mean().item(),
        active_units=[int((level > ACTIVE).sum()) for level in spread],
        iwae=iwae,
        iwae_samples=iwae_samples,
        bits_per_dim=bits,
    )


def check_pixels(model: DVPVAE, images: Tensor) -> None:
    """Check that images (n, c, h, w) are as the likelihood has them.

    Raises:
        InputError: another shape, values outside of [0, 1], or grey levels where zeros and ones
            are expected.
    """
    shape, components = model.architecture.shape, model.architecture.components
    if tuple(images.shape[1:]) != shape or not images.is_floating_point():
        raise InputError(
            f"images of shape {tuple(images.shape)} and type {images.dtype} were given, expected "
            f"(n, {', '.join(map(str, shape))}) of floating type in [0, 1]: convert them"
        )
    wrong = (images < 0) | (images > 1) if components else (images != 0) & (images != 1)
    if wrong.any():
        expected = "grey levels in [0, 1]" if components else "zeros and ones"
        raise InputError(
            f"images with the value {images[wrong][0].item():g} were given, expected {expected}: "
            + ("divide them by 255" if components else "binarise them, see binary_images")
        )


def _batches(
    images: Tensor, labels: Tensor | None, size: int
) -> list[tuple[Tensor, Tensor | None]]:
    rows = [slice(start, start + size) for start in range(0, len(images), size)]
    return [(images[own], None if labels is None else labels[own]) for own in rows]

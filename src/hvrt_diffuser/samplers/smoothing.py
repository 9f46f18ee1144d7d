"""Smoothed bootstraps on leaves that no tree has chosen: what HVRT's partition is compared with."""

from __future__ import annotations

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import Strategy, fit_kernel
from hvrt_diffuser.samplers.leaves import Leaves
from hvrt_diffuser.samplers.protocol import check_latents

__all__ = ["k_means_leaves", "preserve_variance", "smooth"]

K_MEANS_BATCH = 4096


def smooth(
    latents: Tensor,
    labels: Tensor,
    leaf: Tensor,
    strategy: Strategy = "epanechnikov",
    noise_scale: float = 1.0,
) -> SmoothedBootstrap:
    """A smoothed bootstrap on given leaves, which labelled and unlabelled draws share.

    Args:
        latents: (n, d).
        labels: int64 (n,), every class from 0 to k - 1.
        leaf: int64 (n,), the leaf of each latent, from 0 on.
        strategy: the kernel, as of HVRT.
        noise_scale: factor on its bandwidth.

    Raises:
        InputError: latents or labels that cannot be fitted.
    """
    labels = check_latents(latents, labels)
    order = torch.argsort(labels, stable=True)
    latents, leaf = latents[order], leaf[order]
    leaves = Leaves(leaf[None], int(leaf.max()) + 1)
    unit = latents.double().std(dim=0, correction=0).expand(leaves.n_leaves, -1)
    kernel = fit_kernel(strategy, latents, leaves, unit, noise_scale)
    neighbourhoods = Neighbourhoods(leaf[None], kernel)
    origin = {"sampler": "smoothed bootstrap", "strategy": strategy, "noise_scale": noise_scale}
    return SmoothedBootstrap(
        latents, torch.bincount(labels), neighbourhoods, neighbourhoods, origin
    )


def k_means_leaves(latents: Tensor, n_leaves: int, *, seed: int) -> Tensor:
    """The nearest of k-means' centres for each latent, int64 (n,); of standardised dimensions."""
    x = (latents - latents.mean(dim=0)) / latents.std(dim=0).clamp(min=1e-12)
    model = MiniBatchKMeans(n_leaves, batch_size=K_MEANS_BATCH, n_init=1, random_state=seed)
    found = torch.from_numpy(model.fit_predict(x.cpu().double().numpy()))
    return found.unique(return_inverse=True)[1].to(latents.device)


def preserve_variance(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Rows moved towards the mean of their leaf by as much as the kernel spreads them.

    A product kernel adds its variance to that of a leaf. Rows that are shrunk by the right factor
    in each dimension keep the variance of the leaf as it was (the smoothed bootstrap with
    shrinkage; Silverman & Young 1987, doi 10.1093/biomet/74.3.469).
    """
    neighbourhoods = sampler.overall
    leaves = Leaves(neighbourhoods.leaf, neighbourhoods.n_leaves)
    z = sampler.latents.double()
    spread = neighbourhoods.kernel.deviation().double()  # (k, d)
    own = leaves.deviation(z)
    factor = (1 - (spread / own.clamp(min=1e-12)).square()).clamp(min=0).sqrt()
    leaf = neighbourhoods.leaf[0]
    mean = leaves.mean(z)[leaf]
    shrunk = mean + factor[leaf] * (z - mean)
    origin = {**sampler.origin, "variance": "preserved"}
    latents = shrunk.to(sampler.latents.dtype)
    return SmoothedBootstrap(latents, sampler.counts, neighbourhoods, neighbourhoods, origin)

"""Smoothed bootstraps on leaves of every kind: the controls of HVRT's partition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.hvrt import HVRTEstimator
from hvrt_diffuser.samplers.kernels import Strategy, fit_kernel
from hvrt_diffuser.samplers.leaves import Leaves
from hvrt_diffuser.samplers.protocol import by_class, check_latents

__all__ = ["SmoothedBootstrapEstimator", "k_means_leaves", "preserve_variance", "smooth"]

K_MEANS_BATCH = 4096


def smooth(
    latents: Tensor,
    counts: Tensor,
    leaf: Tensor,
    strategy: Strategy = "epanechnikov",
    noise_scale: float = 1.0,
) -> SmoothedBootstrap:
    """A smoothed bootstrap on given leaves, which labelled and unlabelled draws share.

    Args:
        latents: (n, d), ordered by class.
        counts: int64 (k,), rows of each class.
        leaf: int64 (n,), the leaf of each latent, from 0 on.
        strategy: the kernel, as of HVRT.
        noise_scale: factor on its bandwidth.
    """
    leaves = Leaves(leaf[None], int(leaf.max()) + 1)
    unit = latents.double().std(dim=0, correction=0).expand(leaves.n_leaves, -1)
    kernel = fit_kernel(strategy, latents, leaves, unit, noise_scale)
    neighbourhoods = Neighbourhoods(leaf[None], kernel)
    return SmoothedBootstrap(latents, counts, neighbourhoods, neighbourhoods, {})


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
    return replace(sampler, latents=shrunk.to(sampler.latents.dtype))


@SAMPLERS.register("smoothed_bootstrap")
class SmoothedBootstrapEstimator(HVRTEstimator):
    """HVRT's kernel on leaves that all latents share, whatever their class."""

    what: ClassVar[str] = "control: HVRT's kernel on leaves of another kind"
    drawing: ClassVar[frozenset[str]] = HVRTEstimator.drawing | {"preserve_variance"}

    leaves: Literal["one", "class", "tree", "shuffled", "k_means"] = Field(
        "tree",
        description="one for all latents; one for each class; those of HVRT's joint tree; leaves "
        "of the tree's sizes, filled at random; as many as the tree's, by k-means",
    )
    preserve_variance: bool = Field(
        False, description="whether rows are shrunk as far as the kernel spreads them"
    )

    @model_validator(mode="after")
    def _one_partition(self) -> Self:
        if self.members > 1:
            raise ValueError("the leaves are those of one tree: leave members at 1")
        return self

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> SmoothedBootstrap:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`."""
        labels = check_latents(latents, labels)
        leaf = self._leaf(latents, labels, seed)[torch.argsort(labels, stable=True)]
        return self._smooth(latents, labels, leaf, self.origin(seed))

    def adapt(
        self,
        fitted: SmoothedBootstrap,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
    ) -> SmoothedBootstrap:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.adapt`; the leaves stay."""
        origin = {**fitted.origin, **self.origin(fitted.origin["seed"])}
        return self._smooth(latents, labels, fitted.overall.leaf[0], origin)

    def _smooth(
        self, latents: Tensor, labels: Tensor | None, leaf: Tensor, origin: dict[str, Any]
    ) -> SmoothedBootstrap:
        """On leaves int64 (n,) of the latents as they are ordered by class."""
        latents, _, counts = by_class(latents, labels)
        sampler = smooth(latents, counts, leaf, self.strategy, self.noise_scale)
        sampler = preserve_variance(sampler) if self.preserve_variance else sampler
        return replace(sampler, origin=origin)

    def _leaf(self, latents: Tensor, labels: Tensor, seed: int) -> Tensor:
        """The leaf int64 (n,) of each latent, as they were given."""
        if self.leaves == "one":
            return torch.zeros_like(labels)
        if self.leaves == "class":
            return labels
        joint = super().fit(latents, seed=derive_seed(seed, "frontier", "hvrt"))
        leaf = joint.overall.leaf[0]
        if self.leaves == "shuffled":
            order = torch.randperm(len(leaf), generator=generator(seed, "frontier", "shuffled"))
            return leaf[order.to(leaf.device)]
        if self.leaves == "k_means":
            own_seed = derive_seed(seed, "frontier", "k_means") % 2**32
            return k_means_leaves(latents, int(leaf.max()) + 1, seed=own_seed)
        return leaf

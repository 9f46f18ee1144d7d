"""What is compared: each approach fits once, and then draws at any strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor

from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers import (
    FlowEstimator,
    FlowMapEstimator,
    HVRTEstimator,
    LatentFlow,
    LatentSampler,
    k_means_leaves,
    preserve_variance,
    smooth,
)

__all__ = ["APPROACHES", "WAY", "Approach", "ApproachName", "Fits"]

ApproachName = Literal[
    "epanechnikov",
    "bootstrap_noise",
    "multivariate_kde",
    "variance_preserving",
    "one_leaf",
    "class_leaves",
    "shuffled_leaves",
    "k_means",
    "one_jump",
    "latent_flow",
    "flow_map",
    "flow_map_augmented",
]
AtStrength = Callable[[float], LatentSampler]


@dataclass
class Fits:
    """Latents of one seed, and what approaches share that are fitted on them.

    Attributes:
        latents: (n, d), of the training images.
        labels: int64 (n,).
        hvrt: options of the partition.
        flow: options of the flow and its map.
        augment: gives, from a seed, the latents of changed versions of the images, (c, n, d).
        seed: of all fits.
    """

    latents: Tensor
    labels: Tensor
    hvrt: HVRTEstimator
    flow: FlowMapEstimator
    augment: Callable[[int], Tensor | None]
    seed: int

    @cached_property
    def trained_flow(self) -> LatentFlow:
        """The flow, which is trained when it is first asked for."""
        options = self.flow.model_dump(include=set(FlowEstimator.model_fields))
        options["strength"] = 1.0
        seed = derive_seed(self.seed, "frontier", "flow")
        return FlowEstimator(**options).fit(self.latents, self.labels, seed=seed)

    @cached_property
    def trained_map(self) -> LatentFlow:
        """The same flow, distilled when its map is first asked for."""
        seed = derive_seed(self.seed, "frontier", "map")
        return self.flow.distil(self.trained_flow, self.latents, self.labels, seed=seed)


@dataclass(frozen=True)
class Approach:
    """A sampler of which the strength can be chosen.

    Attributes:
        what: it is, in a few words.
        strength: what the strength means.
        fit: gives, from latents, the sampler at any strength.
    """

    what: str
    strength: str
    fit: Callable[[Fits], AtStrength]


NOISE = "factor on the kernel's bandwidth"
WAY = "share of the way from noise"


def _hvrt(strategy: str, fits: Fits) -> AtStrength:
    options = {**fits.hvrt.model_dump(), "strategy": strategy}
    seed = derive_seed(fits.seed, "frontier", "hvrt")
    first = HVRTEstimator(**options).fit(fits.latents, fits.labels, seed=seed)
    return lambda strength: HVRTEstimator(**{**options, "noise_scale": strength}).refit(
        first, fits.latents, fits.labels
    )


def _variance_preserving(fits: Fits) -> AtStrength:
    leaf = _hvrt_leaves(fits)
    return lambda strength: preserve_variance(
        smooth(fits.latents, fits.labels, leaf, noise_scale=strength)
    )


def _on(choose: Callable[[Fits], Tensor], fits: Fits) -> AtStrength:
    leaf = choose(fits)
    return lambda strength: smooth(fits.latents, fits.labels, leaf, noise_scale=strength)


def _hvrt_leaves(fits: Fits) -> Tensor:
    """The leaves of the joint tree, int64 (n,), in the order of the latents."""
    sampler = fits.hvrt.fit(fits.latents, seed=derive_seed(fits.seed, "frontier", "hvrt"))
    return sampler.overall.leaf[0]


def _shuffled(fits: Fits) -> Tensor:
    leaf = _hvrt_leaves(fits)
    return leaf[torch.randperm(len(leaf), generator=generator(fits.seed, "frontier", "shuffled"))]


def _k_means(fits: Fits) -> Tensor:
    n_leaves = int(_hvrt_leaves(fits).max()) + 1
    seed = derive_seed(fits.seed, "frontier", "k_means") % 2**32
    return k_means_leaves(fits.latents, n_leaves, seed=seed)


def _flow(solver_steps: int | None, fits: Fits) -> AtStrength:
    options = fits.flow.model_dump(include=set(FlowEstimator.model_fields))
    if solver_steps is not None:
        options["solver_steps"] = solver_steps
    flow = fits.trained_flow
    return lambda strength: FlowEstimator(**{**options, "strength": strength}).at(
        flow, fits.latents, fits.labels
    )


def _flow_map(augment: bool, fits: Fits) -> AtStrength:
    flow = fits.trained_map
    augmented = None
    if augment:
        augmented = fits.augment(derive_seed(fits.seed, "frontier", "augment"))
    return lambda strength: fits.flow.model_copy(update={"strength": strength}).at(
        flow, fits.latents, fits.labels, augmented=augmented
    )


APPROACHES: dict[str, Approach] = {
    "epanechnikov": Approach("HVRT with its own kernel", NOISE, partial(_hvrt, "epanechnikov")),
    "bootstrap_noise": Approach("HVRT", NOISE, partial(_hvrt, "bootstrap_noise")),
    "multivariate_kde": Approach(
        "HVRT, noise along the leaf's covariance", NOISE, partial(_hvrt, "multivariate_kde")
    ),
    "variance_preserving": Approach(
        "HVRT's joint tree, rows shrunk as far as the kernel spreads them",
        NOISE,
        _variance_preserving,
    ),
    "one_leaf": Approach(
        "control: no partition", NOISE, partial(_on, lambda fits: torch.zeros_like(fits.labels))
    ),
    "class_leaves": Approach(
        "control: a leaf for each class", NOISE, partial(_on, lambda fits: fits.labels)
    ),
    "shuffled_leaves": Approach(
        "control: leaves of the tree's sizes, filled at random", NOISE, partial(_on, _shuffled)
    ),
    "k_means": Approach("as many leaves as the tree's, by k-means", NOISE, partial(_on, _k_means)),
    "one_jump": Approach(
        "a noised row, denoised by one step of the flow (walk-jump)", WAY, partial(_flow, 1)
    ),
    "latent_flow": Approach("flow matching, Heun's method", WAY, partial(_flow, None)),
    "flow_map": Approach(
        "the same flow, distilled to one evaluation", WAY, partial(_flow_map, False)
    ),
    "flow_map_augmented": Approach(
        "the same map, three of four starts of which are latents of augmented images",
        WAY,
        partial(_flow_map, True),
    ),
}

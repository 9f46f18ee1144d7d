"""Independent normal dimensions: how many files a new sampler touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.samplers.protocol import Draws, LatentSampler, SamplerEstimator, by_class
from hvrt_diffuser.samplers.randomness import (
    choose_below,
    normal,
    random_words,
    symmetric_uniform,
)

__all__ = ["Independent", "IndependentSampler"]


@dataclass(frozen=True)
class IndependentSampler(LatentSampler):
    """A mean and a deviation for each dimension of each class."""

    mean: Tensor  # (k, d), of each class
    deviation: Tensor  # (k, d)
    counts: Tensor  # int64 (k,), latents of each class
    origin: dict[str, Any]

    @property
    def latent_dim(self) -> int:
        """Dimensions of the latents."""
        return self.mean.shape[1]

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """Draw n latents (n, d), see :class:`LatentSampler`."""
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        words = random_words(n, 1 + self.latent_dim, generator, self.device)
        if labels is None:
            ends = self.counts.cumsum(0)
            labels = torch.bucketize(choose_below(words[:, 0], ends[-1]), ends, right=True)
        labels = labels.to(self.device)
        noise = normal(symmetric_uniform(words[:, 1:], self.latent_dim))
        return Draws(self.mean[labels] + self.deviation[labels] * noise, labels, None)


@SAMPLERS.register("toy_independent")
class Independent(SamplerEstimator):
    """Fits one normal distribution to each dimension of each class."""

    what: ClassVar[str] = "independent normal dimensions in each class"
    width: float = Field(1.0, gt=0, description="factor on the deviations")

    def fit(self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> LatentSampler:
        """Fit to latents (n, d) and labels (n,), see :class:`SamplerEstimator`."""
        latents, _, counts = by_class(latents, labels)
        classes = latents.split(counts.tolist())
        mean = torch.stack([own.mean(0) for own in classes])
        deviation = torch.stack([self.width * own.std(0, correction=0) for own in classes])
        return IndependentSampler(mean, deviation, counts, self.origin(seed))

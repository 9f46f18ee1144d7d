"""Real means of classes with noise: how many files a new whole model touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.image_models.protocol import (
    ImageModel,
    ImageModelEstimator,
    requested_labels,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["Prototypes", "PrototypesEstimator"]


@dataclass(frozen=True)
class Prototypes(ImageModel):
    """The mean (k, c, h, w) and the deviation of each pixel of each class."""

    mean: Tensor
    deviation: Tensor
    counts: Tensor
    origin: dict[str, Any]

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw n images and labels, see :class:`ImageModel`."""
        labels = requested_labels(n, labels, self.counts, generator)
        shape = (n, *self.mean.shape[1:])
        noise = torch.randn(shape, generator=generator, device=self.device)
        drawn = self.mean[labels] + self.deviation[labels] * noise
        return drawn.round().clamp(0, 255).to(torch.uint8), labels


@SAMPLERS.register("toy_prototypes")
class PrototypesEstimator(ImageModelEstimator):
    """Fits the means and deviations."""

    what: ClassVar[str] = "the mean image of each class, with noise"
    training_steps: int = Field(1, ge=1, description="it needs one")

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> Prototypes:
        """Fit to images uint8 (n, c, h, w), see :class:`ImageModelEstimator`."""
        counts = self.check(images, labels)
        classes = [images[labels == k].float() for k in range(len(counts))]
        mean = torch.stack([own.mean(0) for own in classes])
        deviation = torch.stack([own.std(0, correction=0) for own in classes])
        return Prototypes(mean, deviation, counts, self.origin(seed)).to(device)

"""Samplers that draw noise, and carry it to the latents by a network."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.samplers.baselines import StandardNormal
from hvrt_diffuser.samplers.protocol import Draws, LatentSampler
from hvrt_diffuser.samplers.rows import Scale, in_chunks

__all__ = ["CarriedNoise"]


@dataclass(frozen=True)
class CarriedNoise(LatentSampler):
    """Draws N(0, I) and the classes, and carries the noise of each row to a latent of its class.

    Attributes:
        counts: int64 (k,), the number of latents of each class that it was fitted on.
        network: in evaluation mode.
        scale: its units.
        origin: what it was fitted by and on, kept in the file's header.
    """

    counts: Tensor
    network: Any
    scale: Scale
    origin: dict[str, Any]

    @property
    @abstractmethod
    def noise_dim(self) -> int:
        """Normal numbers that a draw takes, all at once: it does not depend on those beside it."""

    @abstractmethod
    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Latents (n, d), in units of the scale, for noise (n, noise_dim) and labels int64 (n,)."""

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return len(self.scale.mean)

    @torch.no_grad()
    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`; no draw starts from a latent."""
        source = StandardNormal(self.noise_dim, self.counts)
        noise, labels, _ = source.draw(n, labels, generator=generator)

        def arrive(noise: Tensor, labels: Tensor) -> Tensor:
            return self.scale.leave(self.carry(noise, labels))

        return Draws(in_chunks(arrive, noise, labels), labels, None)

"""Samplers that draw a training latent, and make another of it by a network and noise."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.samplers.protocol import Draws, LatentSampler
from hvrt_diffuser.samplers.randomness import normal, random_words, symmetric_uniform
from hvrt_diffuser.samplers.rows import Scale, choose_rows, in_chunks

__all__ = ["CarriedRows"]


@dataclass(frozen=True)
class CarriedRows(LatentSampler):
    """Draws a training latent of each class and N(0, I), and makes a latent of both.

    Attributes:
        starts: float32 (n, w), what the network is given of each training latent; by class.
        counts: int64 (k,), the latents of each class.
        network: in evaluation mode.
        scale: the units of what it makes.
        origin: what it was fitted by and on, kept in the file's header.
    """

    starts: Tensor
    counts: Tensor
    network: Any
    scale: Scale
    origin: dict[str, Any]

    @property
    @abstractmethod
    def noise_dim(self) -> int:
        """Normal numbers that a draw takes, all at once: it does not depend on those beside it."""

    @abstractmethod
    def carry(self, start: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """Latents (n, d), in units of the scale.

        Args:
            start: of the training latents that they start from (n, w).
            noise: (n, noise_dim).
            labels: int64 (n,).
        """

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return len(self.scale.mean)

    @property
    def keeps_latents(self) -> bool:
        """True: it starts from them."""
        return True

    @torch.no_grad()
    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`."""
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        words = random_words(n, 1 + (self.noise_dim + 1) // 2, generator, self.device)
        rows, labels = choose_rows(words[:, 0], labels, self.counts)
        noise = normal(symmetric_uniform(words[:, 1:], self.noise_dim))
        ends = self.counts.cumsum(0)

        def arrive(noise: Tensor, rows: Tensor) -> Tensor:
            own = torch.bucketize(rows, ends, right=True)
            return self.scale.leave(self.carry(self.starts[rows], noise, own))

        return Draws(in_chunks(arrive, noise, rows), labels, rows)

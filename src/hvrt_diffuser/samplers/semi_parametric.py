"""A semi-parametric generator: a network draws near a training latent's retrieved neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.bounds import Components
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.carried_rows import CarriedRows
from hvrt_diffuser.samplers.interpolation import nearest_of_class
from hvrt_diffuser.samplers.perceptron import Perceptron
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.trained import TrainedEstimator

__all__ = ["SemiParametric", "SemiParametricEstimator"]


@dataclass(frozen=True)
class SemiParametric(CarriedRows):
    """Draws a training latent, retrieves its neighbours, and draws a latent that would have them.

    ``starts`` are the means and deviations (n, 2 d) of the neighbours of each training latent.
    """

    network: Perceptron

    form: ClassVar[str] = "semi-parametric"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedRows.noise_dim`."""
        return self.latent_dim

    def carry(self, start: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedRows.carry`."""
        return _draw(self.network, start, noise, labels)


@SAMPLERS.register("semi_parametric")
class SemiParametricEstimator(TrainedEstimator):
    """How the network is trained.

    Retrieval-augmented models (Blattmann et al. 2022, arXiv 2204.11824) keep a set of real rows
    and train a network to draw a row given the neighbours that are retrieved for it; instances
    that condition a GAN are as near (Casanova et al. 2021, arXiv 2109.05070). Here the network is
    given the mean and the deviation of a latent's neighbours of its class, without the latent
    itself, and makes a draw in one evaluation. It is trained by the energy score of two draws, a
    proper scoring rule (Gneiting & Raftery 2007; as a loss, arXiv 2307.00835).
    """

    what: ClassVar[str] = "a network that draws near the neighbours of a training latent (RDM)"

    neighbours: Components = Field(5, description="nearest other latents of the same class")

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> SemiParametric:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            InputError: also a class with no more latents than neighbours.
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)
        near = x[nearest_of_class(x, counts, self.neighbours)]  # (n, m, d)
        starts = torch.cat([near.mean(dim=1), near.std(dim=1, correction=0)], dim=1)
        d = x.shape[1]

        def build() -> Perceptron:
            return Perceptron(3 * d, len(counts), self.width, d)

        def loss(model: Perceptron, rows: Tensor, source: torch.Generator) -> Tensor:
            noise = torch.randn(2 * len(rows), d, generator=source, device=x.device)
            twice = rows.repeat(2)
            one, other = _draw(model, starts[twice], noise, labels[twice]).float().chunk(2)
            away = (one - x[rows]).norm(dim=1) + (other - x[rows]).norm(dim=1)
            return (away - (one - other).norm(dim=1)).mean() / 2

        network = self._train("semi-parametric generator", build, loss, x, seed)
        return SemiParametric(starts, counts, network, scale, self.origin(seed))


def _draw(network: Perceptron, start: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
    """The mean of the neighbours, and away from it by what the network says (n, d)."""
    return start[:, : noise.shape[1]] + network(torch.cat([start, noise], dim=1), labels)

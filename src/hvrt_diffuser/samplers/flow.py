"""Latent flows: noise, or noised training latents, carried to the latents of real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.samplers.baselines import StandardNormal
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import ProductKernel
from hvrt_diffuser.samplers.protocol import Draws, LatentSampler
from hvrt_diffuser.samplers.rows import Scale, in_chunks
from hvrt_diffuser.samplers.velocity import VelocityField

__all__ = ["LatentFlow", "carry", "flow_source"]


def flow_source(x: Tensor, counts: Tensor, strength: float) -> StandardNormal | SmoothedBootstrap:
    """What a flow of some strength starts from, in its units.

    At strength 1 that is N(0, I), and no training latent is kept. Below, it is a training latent,
    shrunk, under a normal kernel: the distribution that training pairs have at time 1 - strength
    (the start of SDEdit; Meng et al. 2022, arXiv 2108.01073).

    Args:
        x: latents to start from (m, d) in the flow's units, ordered by class.
        counts: int64 (k,), of these, the latents of each class.
        strength: the share of the way that is left, above 0 and at most 1.
    """
    if strength == 1:
        return StandardNormal(x.shape[1], counts)
    kernel = ProductKernel(x.new_full((1, x.shape[1]), strength), "normal")
    one_leaf = Neighbourhoods(counts.new_zeros(1, len(x)), kernel)
    return SmoothedBootstrap((1 - strength) * x, counts, one_leaf, one_leaf, {})


def carry(
    field: VelocityField, x: Tensor, labels: Tensor, times: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Follow dx/dt = u(x, t, y) through the times.

    Heun's method, but the last step is Euler's: a single step is one evaluation of the network,
    and n are 2n - 1.

    Args:
        field: u.
        x: where to start, float32 (n, d).
        labels: int64 (n,).
        times: increasing, (s + 1,).

    Returns:
        Where the rows arrive (n, d), and where they stood at each time but the last.
    """
    path = []
    moments = times.tolist()
    for now, then in zip(moments[:-1], moments[1:], strict=True):
        path.append(x)
        velocity = field(x, x.new_full(labels.shape, now), labels)
        ahead = x + (then - now) * velocity
        if then != moments[-1]:
            velocity = (velocity + field(ahead, x.new_full(labels.shape, then), labels)) / 2
            ahead = x + (then - now) * velocity
        x = ahead
    return x, path


@dataclass(frozen=True)
class LatentFlow(LatentSampler):
    """Draws from a source, and carries them along a velocity field to where the latents are.

    Attributes:
        source: what :func:`flow_source` gives; brings the labels.
        field: trained by flow matching, or by distillation of such a field to a single step.
        scale: the units of source and field.
        strength: time that the flow takes, up to 1.
        steps: of the solver.
        versions: of each training latent among those of the source, one after the other: 1, or
            more where latents of augmented images are started from, too.
        origin: what it was fitted by and on, kept in the file's header.
    """

    source: StandardNormal | SmoothedBootstrap
    field: VelocityField
    scale: Scale
    strength: float
    steps: int
    versions: int
    origin: dict[str, Any]

    form: ClassVar[str] = "latent flow"

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.source.latent_dim

    @property
    def counts(self) -> Tensor:
        """int64 (k,), the number of latents of each class that it was fitted on."""
        return self.source.counts // self.versions

    @property
    def keeps_latents(self) -> bool:
        """Whether it starts from them."""
        return self.source.keeps_latents

    @property
    def evaluations(self) -> int:
        """Of the network, for a draw."""
        return 2 * self.steps - 1

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`."""
        x, labels, rows = self.source.draw(n, labels, generator=generator)
        rows = None if rows is None else rows // self.versions
        return Draws(self._arrive(x, labels), labels, rows)

    @torch.no_grad()
    def _arrive(self, x: Tensor, labels: Tensor) -> Tensor:
        times = torch.linspace(1 - self.strength, 1, self.steps + 1)

        def arrive(x: Tensor, labels: Tensor) -> Tensor:
            return self.scale.leave(carry(self.field, x, labels, times)[0])

        return in_chunks(arrive, x, labels)

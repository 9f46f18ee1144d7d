"""How a latent flow is distilled to a single step.

Distillation (Salimans & Ho 2022, arXiv 2202.00512; Boffi et al. 2024, arXiv 2406.07507) follows the
flow from many starting points and regresses where each arrives, so that one evaluation does what
many did.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.bounds import Count, Steps
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.samplers.flow import LatentFlow, carry
from hvrt_diffuser.samplers.flow_training import FlowEstimator
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.velocity import VelocityField

__all__ = ["FlowMapEstimator", "Paths", "jump"]

TRAJECTORIES_AT_ONCE = 2000

Paths = tuple[Tensor, Tensor, Tensor, Tensor]


@SAMPLERS.register("flow_map")
class FlowMapEstimator(FlowEstimator):
    """How a latent flow is trained, and distilled to one evaluation of the network."""

    what: ClassVar[str] = "a flow of latents, distilled to one evaluation of a network"
    drawing: ClassVar[frozenset[str]] = frozenset({"strength"})

    trajectories: Count = Field(
        100_000, le=10**7, description="paths of the flow that its map is learned from"
    )
    distillation_steps: Steps = Field(3000, description="optimiser steps on them")

    @property
    def _steps(self) -> int:
        return 1

    def builds_on(self) -> FlowEstimator:
        """The flow that is distilled; all strengths share it."""
        options = self.model_dump(include=set(FlowEstimator.model_fields) - {"strength"})
        return FlowEstimator(**options)

    def fit(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
        start: LatentFlow | None = None,
    ) -> LatentFlow:
        """See :meth:`FlowEstimator.fit`.

        Args:
            latents: see there.
            labels: see there.
            seed: of the flow, and of the paths and batches of its distillation.
            augmented: see there.
            start: the flow, where it is trained already, on the same latents.

        Raises:
            InputError: see there.
            FloatingPointError: see there.
        """
        self._check(latents, labels, augmented)
        flow = start or self.builds_on().fit(latents, labels, seed=seed)
        field = self._map(flow.field, by_class(latents, labels)[1], seed)
        origin = {**flow.origin, **self.origin(seed)}
        return self._flow(field, flow.scale, (latents, labels, augmented), origin)

    def _map(self, teacher: VelocityField, labels: Tensor, seed: int) -> VelocityField:
        paths = self._follow(teacher, labels, seed)

        def losses(model: VelocityField, source: torch.Generator) -> Tensor:
            """The error of the arrival."""
            start, t, end, own = self._some(paths, source)
            return (jump(model, start, t, own) - end).square_().mean()

        student = copy.deepcopy(teacher).requires_grad_(True)
        return self._optimise(student, losses, self.distillation_steps, "distilling the flow", seed)

    def _some(self, paths: Paths, source: torch.Generator) -> Paths:
        """Starts (m, d), their times (m,), arrivals (m, d) and classes int64 (m,) of a batch.

        Half of the starts are noise, the others on the way.
        """
        starts, times, ends, asked = paths
        m, device = self.batch_size, ends.device
        path = torch.randint(len(ends), (m,), generator=source, device=device)
        later = torch.randint(starts.shape[1], (m,), generator=source, device=device)
        half = torch.rand(m, generator=source, device=device) < 0.5
        place = later.masked_fill_(half, 0)
        return starts[path, place], times[path, place], ends[path], asked[path]

    @torch.no_grad()
    def _follow(self, teacher: VelocityField, labels: Tensor, seed: int) -> Paths:
        """Paths of the flow from noise: where they stood (n, s, d) and when (n, s), where they
        arrived (n, d), and their classes int64 (n,), as frequent as in ``labels``.
        """
        n, s, d = self.trajectories, self.solver_steps, teacher.size["latent_dim"]
        device = labels.device
        source = generator(seed, "flow", "trajectories", device=device)
        asked = labels[torch.randint(len(labels), (n,), generator=source, device=device)]
        starts = torch.empty(n, s, d, device=device)
        times = torch.empty(n, s, device=device)
        ends = torch.empty(n, d, device=device)
        parts = range(0, n, TRAJECTORIES_AT_ONCE)
        with progress("following the flow", len(parts), "parts") as advance:
            for first in parts:
                part = slice(first, first + TRAJECTORIES_AT_ONCE)
                own = asked[part]
                noise = torch.randn(len(own), d, generator=source, device=device)
                # Steps of other lengths in every part, so that all times are learned.
                shift = torch.rand((), generator=source, device=device).cpu()
                inner = (torch.arange(1, s) - 0.5 + shift) / s
                moments = torch.cat([torch.zeros(1), inner, torch.ones(1)])
                ends[part], path = carry(teacher, noise, own, moments)
                starts[part] = torch.stack(path, dim=1)
                times[part] = moments[:-1].to(device)
                advance("")
        return starts, times, ends, asked


def jump(field: VelocityField, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """Where rows (n, d) at times t (n,) arrive at time 1 if they keep their velocity (n, d)."""
    return x + (1 - t)[:, None] * field(x, t, labels).float()

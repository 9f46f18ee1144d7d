"""Distillation of a latent flow to one evaluation by matching distributions."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hvrt_diffuser.common.bounds import BatchSize, Count, Layers, PenaltyWeight, Steps, Width
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.samplers.flow_map import FlowMapEstimator, jump
from hvrt_diffuser.samplers.velocity import VelocityField
from hvrt_diffuser.training.steps import optimise

__all__ = ["MatchedFlowMapEstimator", "matching"]


@SAMPLERS.register("matched_flow_map")
class MatchedFlowMapEstimator(FlowMapEstimator):
    """How a latent flow is trained, and distilled so that the map's draws have its distribution.

    Distribution matching distillation (Yin et al. 2024, arXiv 2311.18828): beside the regression
    of :class:`FlowMapEstimator`, the map's arrivals are noised, and moved by what the flow takes
    them for, less what a second field takes them for, which learns the map's own draws meanwhile:
    the gradient of the divergence of the two distributions at that time. Both fields start as
    the flow. There is a step of the second field for each of the map (the paper has the same),
    and its times are those that the flow was trained on.
    """

    what: ClassVar[str] = "a flow of latents, distilled to one evaluation by distributions (DMD)"

    width: Width = Field(128, description="of the hidden layers")
    blocks: Layers = Field(2, ge=1, description="residual blocks of two layers")
    training_steps: Steps = Field(1500, description="optimiser steps of flow matching")
    batch_size: BatchSize = Field(256, description="latents per step")
    precision: Precision = Field(
        "float32", description="of the matrix products in training; draws are float32"
    )
    trajectories: Count = Field(
        20_000, le=10**7, description="paths of the flow that the regression learns from"
    )
    distillation_steps: Steps = Field(1000, description="optimiser steps of the distillation")
    regression: PenaltyWeight = Field(
        2.0,
        description="weight of the regression, 0.25 of perceptual distances in the paper; 0 "
        "matches distributions alone",
    )

    def _map(self, teacher: VelocityField, labels: Tensor, seed: int) -> VelocityField:
        paths = self._follow(teacher, labels, seed)

        def losses(model: _Pair, source: torch.Generator) -> Tensor:
            start, t, end, own = self._some(paths, source)
            drawn = jump(model.student, start, t, own)
            missed = (drawn - end).square().mean()
            matched = matching(teacher, model.own, drawn, own, source)
            return matched + self.regression * missed + _flow_loss(model.own, drawn, own, source)

        pair = optimise(
            _Pair(teacher),
            losses,
            generator(seed, "flow", "matching", device=labels.device),
            name="distilling the flow",
            steps=self.distillation_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )
        return pair.student


class _Pair(nn.Module):
    """The map, and the field of its own draws."""

    def __init__(self, teacher: VelocityField) -> None:
        super().__init__()
        self.student = copy.deepcopy(teacher).requires_grad_(True)
        self.own = copy.deepcopy(teacher).requires_grad_(True)


def _noised(x: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Rows on their way (n, d), when (n,), and the velocity there (n, d); as in flow matching."""
    t = torch.randn(len(x), generator=source, device=x.device).sigmoid_()
    noise = torch.randn(x.shape, generator=source, device=x.device)
    return torch.lerp(noise, x, t[:, None]), t, x - noise


def _flow_loss(
    field: VelocityField, drawn: Tensor, labels: Tensor, source: torch.Generator
) -> Tensor:
    """Flow matching to what was drawn (n, d), which gets no gradient."""
    x, t, velocity = _noised(drawn.detach(), source)
    return (field(x, t, labels).float() - velocity).square().mean()


def matching(
    real: VelocityField, own: VelocityField, drawn: Tensor, labels: Tensor, source: torch.Generator
) -> Tensor:
    """A loss whose gradient moves draws (n, d) from where they come from to where real ones do.

    Neither field gets a gradient. The weight of a row is the paper's: over the mean distance of
    its draw to what the flow takes it for.
    """
    with torch.no_grad():
        x, t, _ = _noised(drawn, source)
        flow, fake = jump(real, x, t, labels), jump(own, x, t, labels)
        weight = (drawn - flow).abs().mean(dim=1, keepdim=True).clamp(min=1e-6)
        aim = drawn - (fake - flow) / weight
    return 0.5 * (drawn - aim).square().mean()

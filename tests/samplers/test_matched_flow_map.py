"""Distillation by distributions: where its gradient points, and what it keeps of a flow's map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.samplers.matched_flow_map import matching


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Towards(torch.nn.Module):
    """The velocity of the flow from N(0, I) to N(mean, s^2)."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.variance = mean, deviation**2

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        t = t[:, None]
        away = (x - t * self.mean) / ((1 - t) ** 2 + t**2 * self.variance)
        return self.mean + t * self.variance * away - (1 - t) * away


def moved(real: Towards, own: Towards, drawn: Tensor) -> Tensor:
    """Where a step against the gradient moves draws."""
    drawn = drawn.clone().requires_grad_(True)
    labels = torch.zeros(len(drawn), dtype=torch.long)
    fields: Any = (real, own)
    (slope,) = torch.autograd.grad(matching(*fields, drawn, labels, source(7)), drawn)
    return -slope * drawn.numel()


def test_draws_of_the_right_distribution_stay() -> None:
    drawn = torch.randn(500, 2, generator=source())
    assert (moved(Towards(0.5, 0.7), Towards(0.5, 0.7), drawn) == 0).all()


def test_draws_beside_the_real_ones_move_to_them() -> None:
    drawn = 0.5 * torch.randn(2000, 2, generator=source())
    step = moved(Towards(2.0, 0.5), Towards(0.0, 0.5), drawn)
    assert (step > 0).double().mean() > 0.99


def test_draws_that_lie_too_close_move_apart() -> None:
    drawn = 0.3 * torch.randn(4000, 1, generator=source())
    step = moved(Towards(0.0, 1.0), Towards(0.0, 0.3), drawn)
    outwards = (step * drawn.sign()).mean()
    assert outwards > 0.1

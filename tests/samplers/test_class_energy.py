"""Energies of classes: what a logit means, and where Langevin steps lead."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.samplers import ClassEnergy, ClassEnergyEstimator


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def latents() -> Tensor:
    """Of two classes: correlated, and another covariance and mean."""
    x = torch.randn(2000, 2, generator=source())
    one = x[:1200] @ torch.tensor([[2.0, 0.0], [1.0, 0.5]]).T
    other = x[1200:] @ torch.tensor([[0.5, 0.0], [-1.0, 1.0]]).T + torch.tensor([9.0, -3.0])
    return torch.cat([one, other])


LABELS = torch.arange(2).repeat_interleave(torch.tensor([1200, 800]))


def energy(latents: Tensor, **options: Any) -> ClassEnergy:
    small = {"width": 8, "training_steps": 1, "batch_size": 8}
    return ClassEnergyEstimator(**small | options).fit(latents, LABELS)


class Logit(torch.nn.Module):
    """A classifier's logit that is known."""

    def __init__(self, along: float) -> None:
        super().__init__()
        self.along = along

    def forward(self, v: Tensor, labels: Tensor) -> Tensor:
        return self.along * v[:, :1]


@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_a_classifier_that_knows_nothing_leaves_the_gaussian_of_the_surrogates(
    latents: Tensor, spread: float
) -> None:
    sampler = energy(latents, spread=spread, steps=120, step_size=0.05)
    sampler = replace(sampler, network=Logit(0))  # type: ignore[arg-type]
    for label in range(2):
        drawn, _ = sampler.sample(20_000, torch.full((20_000,), label), generator=source())
        real = latents[label == LABELS]
        # An unadjusted step of h adds h / (2 s^2) to the variance s^2, relatively.
        longer = spread**2 / (1 - 0.05 / (2 * spread**2))
        deviation = real.std(0)
        assert ((drawn.mean(0) - real.mean(0)).abs() < 0.08 * deviation).all()
        assert torch.allclose(drawn.T.cov(), longer * real.T.cov(), rtol=0.08, atol=0.08)


def test_a_slope_of_the_logit_moves_the_gaussian(latents: Tensor) -> None:
    """The density exp(v - |v|^2 / 2) of the first number v of a row in units of its class."""
    sampler = energy(latents, spread=1.0, steps=150)
    sampler = replace(sampler, network=Logit(1))  # type: ignore[arg-type]
    drawn, _ = sampler.sample(20_000, torch.zeros(20_000, dtype=torch.long), generator=source())
    real = latents[:1200]
    moved = real.mean(0) + torch.linalg.cholesky(real.T.cov())[:, 0]
    assert ((drawn.mean(0) - moved).abs() < 0.08 * real.std(0)).all()


def test_the_logit_is_learned_as_a_ratio_of_densities() -> None:
    """Of N(0, 1) and its surrogates N(0, 4): log 2 - 3 v^2 / 8."""
    latents = torch.randn(4000, 1, generator=source())
    sampler = ClassEnergyEstimator(spread=2.0, width=32, training_steps=500).fit(latents)
    v = torch.linspace(-2, 2, 9)[:, None]
    found = sampler.network(v, torch.zeros(9, dtype=torch.long))[:, 0]
    assert torch.allclose(found, math.log(2) - 3 / 8 * v[:, 0].square(), atol=0.25)


def test_steps_of_no_length_give_the_latents_that_draws_start_from(latents: Tensor) -> None:
    sampler = replace(energy(latents), steps=1, step_size=1e-12)
    drawn, labels, rows = sampler.draw(500, generator=source())
    assert rows is not None
    assert torch.equal(labels, LABELS[rows])
    assert torch.allclose(drawn, latents[rows], atol=1e-3)


def test_more_steps_lead_farther_from_the_start(latents: Tensor) -> None:
    away = []
    for steps in (1, 10, 100):
        drawn, _, rows = energy(latents, steps=steps).draw(2000, generator=source())
        assert rows is not None
        away.append((drawn - latents[rows]).norm(dim=1).median())
    assert away[0] < away[1] < away[2]

"""Consistency models of latents: levels of noise, the loss, and the single evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.samplers import ConsistencyEstimator
from hvrt_diffuser.samplers.consistency import STAGES, lower_level


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Exact(torch.nn.Module):
    """The network of the consistency function of N(0, s^2): x s / sqrt(s^2 + sigma^2)."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.variance = deviation**2

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        sigma = (4 * t).exp()[:, None]
        whole = (1 + sigma**2).sqrt()
        noisy = x * whole
        found = noisy * (self.variance / (self.variance + sigma**2)).sqrt()
        return (found - noisy / whole**2) * whole / sigma


@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_the_exact_function_draws_the_exact_distribution(deviation: float) -> None:
    latents = torch.randn(200, 3, generator=source()) * 2 + 5
    fitted = ConsistencyEstimator(width=8, blocks=1, training_steps=1, batch_size=8).fit(latents)
    exact: Any = Exact(deviation)
    drawn, _ = replace(fitted, network=exact).sample(20_000, generator=source())
    x = fitted.scale.enter(drawn)
    assert x.mean().item() == pytest.approx(0, abs=0.02)
    assert torch.allclose(x.std(0), torch.tensor(deviation), rtol=0.03)


def test_a_draw_is_one_evaluation() -> None:
    fitted = ConsistencyEstimator(width=8, blocks=1, training_steps=1, batch_size=8).fit(
        torch.randn(50, 3, generator=source())
    )
    asked = []
    fitted.network.register_forward_hook(lambda *_: asked.append(1))
    fitted.sample(10, generator=source())
    assert len(asked) == 1


def test_two_levels_of_noise_come_closer_from_stage_to_stage() -> None:
    t = torch.logspace(-3, 2, 200)
    shares = [lower_level(t, torch.tensor(stage)) / t for stage in range(STAGES)]
    assert (shares[0] == 0).any(), "at first the lower level is often none"
    for share in shares:
        assert (share >= 0).all()
        assert (share < 1).all()
    for early, late in zip(shares[:-1], shares[1:], strict=True):
        assert (late >= early).all()
    assert shares[-1].min() > 0.9

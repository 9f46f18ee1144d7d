"""What trained networks make of two classes of which each is a mixture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers import LatentSampler

LEARNERS: dict[str, dict[str, Any]] = {
    "transformer_flow": {"training_steps": 500},
    "class_energy": {},
    "semi_parametric": {"training_steps": 500},
    "matched_flow_map": {"width": 64, "trajectories": 8000, "distillation_steps": 500},
    "latent_consistency": {"width": 64},
}
# What the mean and the covariance may be off: in deviations, and of the norm.
MEAN, COVARIANCE = 0.25, 0.25
MEANS = torch.tensor([[[-3.0, 0, 1], [2.0, 1, 0]], [[0.0, 4, 4], [1.0, -3, 5]]])  # (k, 2, d)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixtures(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of two classes, n each: correlated, of two parts, the first twice as frequent."""
    labels = torch.arange(2).repeat_interleave(n)
    part = (torch.rand(2 * n, generator=source(seed)) < 1 / 3).long()
    noise = torch.randn(2 * n, 3, generator=source(seed + 1))
    factor = torch.tensor([[1.0, 0, 0], [0.6, 0.5, 0], [0, 0.3, 0.8]])
    return MEANS[labels, part] + noise @ factor.T, labels


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Of two samples of one size, unbiased; 0 where they are of one distribution."""
    n = len(a)
    within = (torch.cdist(a, a).sum() + torch.cdist(b, b).sum()) / (n * (n - 1))
    return (2 * torch.cdist(a, b).mean() - within).item()


@pytest.fixture(scope="module")
def gaussian() -> LatentSampler:
    fitted: LatentSampler = SAMPLERS.make("gaussian_per_class").fit(*mixtures(1000, seed=0))
    return fitted


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.slow
def test_a_mixture_is_learned_better_than_by_a_gaussian(name: str, gaussian: LatentSampler) -> None:
    latents, labels = mixtures(1000, seed=0)
    sampler = SAMPLERS.make(name, LEARNERS[name]).fit(latents, labels)
    fresh, _ = mixtures(2000, seed=7)
    for label, real in enumerate(fresh.split(2000)):
        asked = torch.full((2000,), label)
        drawn, _ = sampler.sample(2000, asked, generator=source())
        other, _ = gaussian.sample(2000, asked, generator=source())
        own = latents[labels == label]
        assert ((drawn.mean(0) - own.mean(0)).abs() < MEAN * own.std(0)).all()
        off = (drawn.T.cov() - own.T.cov()).norm() / own.T.cov().norm()
        assert off < COVARIANCE
        assert energy_distance(drawn, real) < 0.6 * energy_distance(other, real)

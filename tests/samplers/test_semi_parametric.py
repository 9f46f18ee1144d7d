"""What a semi-parametric generator retrieves, and what it makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.samplers import SemiParametric, SemiParametricEstimator


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


LABELS = torch.arange(2).repeat_interleave(torch.tensor([60, 40]))


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn(100, 3, generator=source()) * torch.tensor([1.0, 5.0, 0.2])


@pytest.fixture(scope="module")
def sampler(latents: Tensor) -> SemiParametric:
    return SemiParametricEstimator(width=8, training_steps=1, neighbours=4).fit(latents, LABELS)


def retrieved(latents: Tensor) -> Tensor:
    """The 4 nearest others of the class of each (n, 4, d), in units of the deviation."""
    x = (latents - latents.mean(0)) / latents.std(0, correction=0)
    distance = torch.cdist(x, x)
    distance[LABELS[:, None] != LABELS] = torch.inf
    distance.fill_diagonal_(torch.inf)
    return x[distance.topk(4, largest=False).indices]


def test_what_is_kept_of_a_latent_is_its_neighbourhood_without_it(
    latents: Tensor, sampler: SemiParametric
) -> None:
    near = retrieved(latents)
    expected = torch.cat([near.mean(1), near.std(1, correction=0)], dim=1)
    assert torch.allclose(sampler.starts, expected, atol=1e-4)


def test_a_network_that_says_nothing_draws_the_mean_of_the_neighbours(
    latents: Tensor, sampler: SemiParametric
) -> None:
    silent = sampler.to("cpu").network
    for parameter in silent.parameters():
        parameter.zero_()
    drawn, labels, rows = replace(sampler, network=silent).draw(300, generator=source())
    assert rows is not None
    assert torch.equal(labels, LABELS[rows])
    expected = retrieved(latents).mean(1) * latents.std(0, correction=0) + latents.mean(0)
    assert torch.allclose(drawn, expected[rows], atol=1e-4)


def test_the_spread_around_neighbours_is_learned() -> None:
    """Rows on a circle: draws are as wide along and as thin across as the real ones."""
    angle = torch.rand(1500, generator=source()) * 2 * torch.pi
    radius = 3 + 0.1 * torch.randn(1500, generator=source(1))
    latents = torch.stack([angle.cos() * radius, angle.sin() * radius], dim=1)
    sampler = SemiParametricEstimator(width=32, training_steps=500).fit(latents)
    drawn, _ = sampler.sample(5000, generator=source())
    assert drawn.norm(dim=1).mean().item() == pytest.approx(3, abs=0.03)
    assert 0.08 < drawn.norm(dim=1).std() < 0.14
    turned = torch.atan2(drawn[:, 1], drawn[:, 0])
    assert (torch.histc(turned, 8, -torch.pi, torch.pi) / 5000 - 1 / 8).abs().max() < 0.03


def test_a_class_without_enough_neighbours_is_refused() -> None:
    with pytest.raises(InputError, match="class 1 has 2 latents, expected more than 2 neighbours"):
        SemiParametricEstimator(neighbours=2).fit(torch.rand(5, 2), torch.tensor([0, 0, 0, 1, 1]))

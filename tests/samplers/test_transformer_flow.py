"""Flows by causal transformers: an exact density, and an inverse of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.causal_transformer import TransformerFlow


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(
    latent_dim: int, tokens: int = 3, transforms: int = 4, away: float = 0.3
) -> TransformerFlow:
    """A flow of two classes that is not the identity which it starts as."""
    network = TransformerFlow(latent_dim, 2, tokens, transforms, layers=1, width=8, heads=2)
    stream = source(1)
    for parameter in network.parameters():
        parameter.data += away * torch.randn(parameter.shape, generator=stream)
    return network.requires_grad_(False).eval()


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7, 8])
def test_the_inverse_gives_rows_back(latent_dim: int) -> None:
    network, labels = some(latent_dim), torch.arange(40) % 2
    x = torch.randn(40, latent_dim, generator=source())
    z, _ = network(x, labels)
    assert z.shape == x.shape
    assert not torch.allclose(z, x, atol=0.1)
    assert torch.allclose(network.inverse(z, labels), x, atol=1e-4)


@pytest.mark.parametrize("latent_dim", [1, 3, 7])
def test_the_factor_of_the_density_is_that_of_the_jacobian(latent_dim: int) -> None:
    network = some(latent_dim)
    for label in torch.arange(2):
        x = torch.randn(latent_dim, generator=source(int(label)))

        def through(row: Tensor, label: Tensor = label) -> Tensor:
            return network(row[None], label[None])[0][0]  # type: ignore[no-any-return]

        expected = torch.linalg.slogdet(jacobian(through, x))[1]
        _, logarithm = network(x[None], label[None])
        assert logarithm[0].item() == pytest.approx(expected.item(), abs=1e-3)


@pytest.mark.parametrize("tokens", [1, 2])
def test_the_density_integrates_to_one(tokens: int) -> None:
    network = some(2, tokens, transforms=2, away=0.15)
    step = 0.15
    line = torch.arange(-15, 15, step) + step / 2
    grid = torch.cartesian_prod(line, line)
    for label in range(2):
        labels = torch.full((len(grid),), label)
        mass = network.log_density(grid, labels).double().exp().sum() * step**2
        assert mass.item() == pytest.approx(1, abs=0.01)


def test_the_first_transformation_goes_forwards_and_the_second_backwards() -> None:
    x, label = torch.randn(6, generator=source()), torch.zeros(1, dtype=torch.long)
    network = some(6, tokens=3, transforms=2)
    for transform, follows in zip(network.transforms, (torch.tril, torch.triu), strict=True):

        def through(row: Tensor, transform: torch.nn.Module = transform) -> Tensor:
            return transform(row[None], label)[0][0]  # type: ignore[no-any-return]

        depends = jacobian(through, x).abs() > 1e-7
        by_token = depends.view(3, 2, 3, 2).any(3).any(1)  # of a token on a token
        assert torch.equal(by_token, follows(torch.ones(3, 3)).bool())


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="width is 10, expected a multiple of 4 heads: change one"):
        SAMPLERS.make("transformer_flow", {"width": 10, "heads": 4})

"""Terms for autoencoders without posteriors: known answers, and what they do to real digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hvrt_diffuser.autoencoders import (
    Architecture,
    ConvolutionalAutoencoder,
    Regulariser,
    TrainingOptions,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.autoencoders.regularisers import WIDTHS, maximum_mean_discrepancy
from hvrt_diffuser.data.images import LabelledImages

CPU = torch.device("cpu")
Make = Callable[..., TrainingOptions]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images(digits: LabelledImages) -> Tensor:
    return digits.images[torch.randperm(len(digits.images), generator=source())[:600]]


@pytest.fixture
def model() -> ConvolutionalAutoencoder:
    torch.manual_seed(0)
    return ConvolutionalAutoencoder(Architecture((1, 8, 8), latent_dim=3, width=4, depth=2)).eval()


def penalty(model: ConvolutionalAutoencoder, z: Tensor, seed: int = 0, **options: Any) -> float:
    logits = model.decode(z)
    return Regulariser(**options).penalty(model, z, logits, source(seed)).item()


# ---- known answers


def test_latents_count_by_half_their_squared_norm(model: ConvolutionalAutoencoder) -> None:
    z = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    found = penalty(model, z, kind="decoder_spectrum", latent_weight=2.0)
    assert found == pytest.approx(2.0 * (25 / 2 + 1 / 2) / 2)


def test_weights_are_those_of_the_decoders_linear_maps(model: ConvolutionalAutoencoder) -> None:
    expected = sum(
        layer.weight.square().sum().item()
        for layer in model.decoder
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    )
    found = penalty(model, torch.zeros(2, 3), kind="decoder_weights", weight=0.5)
    assert found == pytest.approx(0.5 * expected, rel=1e-5)


def test_the_gradient_is_that_of_the_whole_jacobian_on_average(
    model: ConvolutionalAutoencoder,
) -> None:
    z = torch.randn(1, 3, generator=source())
    jacobian: Tensor = torch.func.jacrev(lambda z: torch.sigmoid(model.decode(z)))(z)
    exact = 0.5 * jacobian.square().sum().item()
    many = z.expand(4000, 3).clone().requires_grad_()
    found = penalty(model, many, kind="decoder_gradient", weight=1.0)
    assert found == pytest.approx(exact, rel=0.1)


def test_the_discrepancy_of_two_pairs_of_rows_by_hand() -> None:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])

    def kernel(a: float, b: float) -> float:
        return sum(2 * w / (2 * w + (a - b) ** 2) for w in WIDTHS)

    between = (kernel(0, 0) + kernel(0, 3) + kernel(1, 0) + kernel(1, 3)) / 4
    expected = kernel(0, 1) + kernel(0, 3) - 2 * between
    assert maximum_mean_discrepancy(x, y).item() == pytest.approx(expected, abs=1e-5)


def test_rows_of_one_distribution_have_no_discrepancy_on_average() -> None:
    def found(shift: float) -> Tensor:
        return torch.stack(
            [
                maximum_mean_discrepancy(
                    torch.randn(30, 4, generator=source(i)) + shift,
                    torch.randn(40, 4, generator=source(1000 + i)),
                )
                for i in range(200)
            ]
        )

    same, other = found(0.0), found(0.5)
    error = same.std().item() / math.sqrt(len(same))
    assert abs(same.mean().item()) < 4 * error
    assert other.mean().item() > 20 * error


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.floats(-100, 100))
def test_the_discrepancy_knows_distances_alone(seed: int, shift: float) -> None:
    x, y = torch.randn(2, 12, 3, generator=source(seed)).double()
    found = maximum_mean_discrepancy(x, y)
    assert torch.allclose(maximum_mean_discrepancy(x + shift, y + shift), found, atol=1e-6)
    assert torch.allclose(maximum_mean_discrepancy(y, x), found, atol=1e-9)


# ---- what they do


def trained(images: Tensor, make_options: Make, **regulariser: Any) -> ConvolutionalAutoencoder:
    options = make_options(epochs=6, regulariser=regulariser or None)
    return train_autoencoder(images, options, seed=0, device=CPU)[0]


def test_a_greater_weight_pulls_the_latents_to_the_origin(
    images: Tensor, make_options: Make
) -> None:
    free, pulled = (
        trained(images, make_options, kind="decoder_weights", latent_weight=weight)
        for weight in (0.0, 10.0)
    )
    norms = [encode_images(model, images, CPU)[0].norm(dim=1).mean() for model in (free, pulled)]
    assert norms[1] < 0.7 * norms[0]


def test_a_discrepancy_brings_the_latents_nearer_to_the_prior(
    images: Tensor, make_options: Make
) -> None:
    prior = torch.randn(len(images), 8, generator=source())
    free = trained(images, make_options)
    moved = trained(images, make_options, kind="mmd", weight=300.0)
    d = free.architecture.latent_dim
    found = [
        maximum_mean_discrepancy(encode_images(model, images, CPU)[0], prior[:, :d]).item()
        for model in (free, moved)
    ]
    assert found[1] < 0.5 * found[0]


def test_a_bounded_spectrum_is_part_of_the_weights_in_the_end(
    images: Tensor, make_options: Make
) -> None:
    model = trained(images, make_options, kind="decoder_spectrum")
    fresh = ConvolutionalAutoencoder(model.architecture)
    fresh.load_state_dict(model.state_dict())  # no trace is left of how it was trained
    largest = [
        torch.linalg.matrix_norm(_matrix(layer), 2).item()
        for layer in model.decoder
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert largest == pytest.approx([1.0] * len(largest), rel=0.1)  # by one iteration a step


def _matrix(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    return weight.detach().flatten(1)

"""The terms of the objective against torch.distributions, closed forms and Monte Carlo."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from hvrt_diffuser.autoencoders.objective import (
    kl_to_standard_normal,
    negative_log_likelihood,
    reparameterise,
)
from hvrt_diffuser.data.images import LabelledImages

MEAN = torch.tensor([[0.0, 1.5, -2.0], [0.3, 0.0, 4.0]], dtype=torch.float64)
LOG_VARIANCE = torch.tensor([[0.0, 1.0, -3.0], [-0.5, 2.0, 0.1]], dtype=torch.float64)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pixels(digits: LabelledImages) -> torch.Tensor:
    return digits.images[:6].double() / 255


# ---- KL


@pytest.mark.parametrize(
    ("mean", "log_variance", "nats"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], 0.0),
        ([[3.0, 4.0]], [[0.0, 0.0]], 12.5),
        ([[0.0]], [[math.log(4.0)]], (4 - 1 - math.log(4)) / 2),
        ([[2.0], [0.0]], [[0.0], [0.0]], 1.0),
    ],
)
def test_kl_in_closed_form(
    mean: list[list[float]], log_variance: list[list[float]], nats: float
) -> None:
    found = kl_to_standard_normal(torch.tensor(mean), torch.tensor(log_variance))
    assert found.item() == pytest.approx(nats, rel=1e-6)


def test_kl_is_that_of_torch_summed_over_dimensions_and_averaged_over_the_batch() -> None:
    posterior = Normal(MEAN, torch.exp(LOG_VARIANCE / 2))
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    assert kl_to_standard_normal(MEAN, LOG_VARIANCE).item() == pytest.approx(expected.item())


def test_kl_agrees_with_monte_carlo() -> None:
    n = 100_000
    mean, log_variance = MEAN[:1].expand(n, -1), LOG_VARIANCE[:1].expand(n, -1)
    z = reparameterise(mean, log_variance, source())
    posterior = Normal(mean, torch.exp(log_variance / 2))
    ratio = (posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = ratio.std().item() / math.sqrt(n)
    exact = kl_to_standard_normal(mean, log_variance).item()
    assert error < 0.02 * exact
    assert abs(ratio.mean().item() - exact) < 4 * error


@given(mean=st.floats(-5, 5), log_variance=st.floats(-5, 5))
def test_kl_is_never_negative(mean: float, log_variance: float) -> None:
    found = kl_to_standard_normal(
        torch.tensor([[mean]], dtype=torch.float64),
        torch.tensor([[log_variance]], dtype=torch.float64),
    )
    assert found.item() >= -1e-12


# ---- reconstruction


def test_bernoulli_is_that_of_torch_on_black_and_white(pixels: torch.Tensor) -> None:
    x = (pixels > 0.5).float()
    logits = torch.randn(x.shape, generator=source())
    expected = -Bernoulli(logits=logits).log_prob(x).sum() / len(x)
    found = negative_log_likelihood(logits, x, "bernoulli")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bernoulli_takes_grey_levels_as_probabilities(pixels: torch.Tensor) -> None:
    x = pixels.float()
    p = torch.rand(x.shape, generator=source(), dtype=torch.float64) * 0.98 + 0.01
    expected = -(pixels * p.log() + (1 - pixels) * (1 - p).log()).sum() / len(x)
    found = negative_log_likelihood(torch.logit(p), x, "bernoulli")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bernoulli_of_no_opinion_is_one_bit_a_pixel(pixels: torch.Tensor) -> None:
    found = negative_log_likelihood(torch.zeros(pixels.shape), pixels.float(), "bernoulli")
    assert found.item() == pytest.approx(28 * 28 * math.log(2), rel=1e-6)


def test_gaussian_is_that_of_torch_with_the_variance_of_the_batch(pixels: torch.Tensor) -> None:
    x = pixels.float()
    logits = torch.randn(x.shape, generator=source())
    picture = torch.sigmoid(logits.double())
    deviation = (picture - pixels).square().mean().sqrt()
    expected = -Normal(picture, deviation).log_prob(pixels).sum() / len(x)
    found = negative_log_likelihood(logits, x, "gaussian")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0])
def test_no_other_variance_makes_the_gaussian_more_likely(
    pixels: torch.Tensor, factor: float
) -> None:
    logits = torch.randn(pixels.shape, generator=source())
    picture = torch.sigmoid(logits.double())
    deviation = factor * (picture - pixels).square().mean().sqrt()
    other = -Normal(picture, deviation).log_prob(pixels).sum() / len(pixels)
    assert negative_log_likelihood(logits, pixels.float(), "gaussian").item() < other.item()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_gradient_of_a_likelihood_points_to_the_image(
    pixels: torch.Tensor, likelihood: str
) -> None:
    x = pixels.float()
    logits = torch.zeros(x.shape, requires_grad=True)
    negative_log_likelihood(logits, x, likelihood).backward()
    assert torch.equal(logits.grad.sign(), (0.5 - x).sign())


# ---- reparameterisation


def test_draws_have_the_mean_and_deviation_of_the_posterior() -> None:
    n = 50_000
    mean, log_variance = MEAN[:1].expand(n, -1), LOG_VARIANCE[:1].expand(n, -1)
    z = reparameterise(mean, log_variance, source())
    deviation = torch.exp(LOG_VARIANCE[0] / 2)
    assert ((z.mean(0) - MEAN[0]).abs() < 4 * deviation / math.sqrt(n)).all()
    assert ((z.std(0) / deviation - 1).abs() < 4 / math.sqrt(2 * n)).all()
    assert torch.corrcoef(z.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(n)


def test_gradients_reach_mean_and_log_variance() -> None:
    mean, log_variance = MEAN.clone().requires_grad_(), LOG_VARIANCE.clone().requires_grad_()
    z = reparameterise(mean, log_variance, source())
    z.sum().backward()
    assert torch.equal(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(log_variance.grad, (z - mean).detach() / 2)
    assert (log_variance.grad != 0).all()


def test_the_same_generator_gives_the_same_draw_and_goes_on() -> None:
    one, two = source(), source()
    assert torch.equal(
        reparameterise(MEAN, LOG_VARIANCE, one), reparameterise(MEAN, LOG_VARIANCE, two)
    )
    assert not torch.equal(
        reparameterise(MEAN, LOG_VARIANCE, one), reparameterise(MEAN, LOG_VARIANCE, source())
    )

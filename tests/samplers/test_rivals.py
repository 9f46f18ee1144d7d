"""Known answers of the priors that HVRT is compared with."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.samplers import (
    DiffusionEstimator,
    InterpolationEstimator,
    KernelDensityEstimator,
    LatentVAE,
    LatentVAEEstimator,
    MixtureEstimator,
    NormalisingFlowEstimator,
)
from hvrt_diffuser.samplers.diffusion import BETA_FIRST, BETA_LAST, TIMES


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(n: int, seed: int = 0) -> Tensor:
    """Normal rows in two dimensions: deviations 3 and 1, correlation 0.8, mean (10, -2)."""
    x = torch.randn(n, 2, generator=source(seed), dtype=torch.float64)
    factor = torch.tensor([[3.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    return (x @ factor.T + torch.tensor([10.0, -2.0])).float()


def clusters() -> tuple[Tensor, Tensor]:
    """Two classes of 300 and 100 rows, far apart."""
    rows = torch.cat([correlated(300), correlated(100, seed=1) + 100])
    return rows, torch.tensor([0] * 300 + [1] * 100)


# ---- mixtures


@pytest.mark.parametrize("per", ["all", "class"])
def test_one_gaussian_has_the_mean_and_the_covariance_of_the_latents(per: Any) -> None:
    latents = correlated(500)
    sampler = MixtureEstimator(components=1, per=per).fit(latents)
    draws, _ = sampler.sample(200_000, generator=source())
    assert torch.allclose(draws.mean(0), latents.mean(0), atol=0.02)
    assert torch.allclose(draws.T.cov(), latents.T.cov(), rtol=0.02)


def test_a_component_belongs_to_the_class_whose_latents_it_explains() -> None:
    sampler = MixtureEstimator(components=2).fit(*clusters())
    asked = torch.arange(2).repeat(500)
    draws, _ = sampler.sample(1000, asked, generator=source())
    assert torch.equal((draws[:, 0] > 50).long(), asked)
    draws, labels = sampler.sample(20_000, generator=source())
    assert torch.equal((draws[:, 0] > 50).long(), labels)
    assert labels.double().mean().item() == pytest.approx(0.25, abs=0.01)


def test_components_of_a_class_are_drawn_as_often_as_they_explain_its_latents() -> None:
    left, right = correlated(300), correlated(100, seed=1) + 100
    sampler = MixtureEstimator(components=2, per="class").fit(torch.cat([left, right]))
    draws, _ = sampler.sample(20_000, generator=source())
    assert (draws[:, 0] > 50).double().mean().item() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("per", "found"), [("all", "there are 5"), ("class", "class 1 has 2")])
def test_fewer_latents_than_components_are_refused(per: Any, found: str) -> None:
    with pytest.raises(InputError, match=f"{found} latents, expected at least one for each of 6"):
        MixtureEstimator(components=6, per=per).fit(correlated(5), torch.tensor([0, 0, 0, 1, 1]))


# ---- kernel density


def test_the_width_of_a_kernel_is_near_scotts_on_normal_latents() -> None:
    """Scott 1992: n^(-1/6) in two dimensions; the likelihood is flat around it."""
    sampler = KernelDensityEstimator().fit(correlated(2000))
    (bandwidth,) = sampler.origin["bandwidths"]
    assert 0.5 < bandwidth / 2000 ** (-1 / 6) < 1.5


def test_every_class_has_a_kernel_of_its_own() -> None:
    rows = torch.cat([correlated(200), 0.1 * correlated(200, seed=1)])
    sampler = KernelDensityEstimator().fit(rows, torch.arange(2).repeat_interleave(200))
    wide, narrow = sampler.per_class.kernel.deviation()[:, 0].tolist()
    assert wide > 4 * narrow


def test_a_class_of_one_latent_has_no_width() -> None:
    with pytest.raises(InputError, match="class 1 has 1 latent, expected at least 2"):
        KernelDensityEstimator().fit(correlated(5), torch.tensor([0, 0, 0, 0, 1]))


# ---- interpolation


def test_draws_lie_between_a_latent_and_a_neighbour_of_its_class() -> None:
    latents, labels = clusters()
    sampler = InterpolationEstimator(neighbours=3).fit(latents, labels)
    draws, found, rows = sampler.draw(5000, generator=source())
    assert rows is not None
    assert torch.equal(labels[rows], found)
    ends = latents[sampler.neighbours[rows]]  # (n, 3, 2)
    way = ends - latents[rows, None]
    moved = (draws - latents[rows])[:, None]
    share = (moved * way).sum(2) / way.square().sum(2)  # (n, 3)
    off = (moved - share[..., None] * way).norm(dim=2)
    which = off.argmin(dim=1, keepdim=True)
    assert off.gather(1, which).max() < 1e-4
    taken = share.gather(1, which)[:, 0]
    assert taken.min() > -1e-3
    assert taken.max() < 1 + 1e-3
    assert taken.mean().item() == pytest.approx(0.5, abs=0.02)
    assert taken.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert (torch.bincount(which[:, 0]) > 1500).all()


def test_neighbours_are_the_nearest_others_of_the_class() -> None:
    latents, labels = clusters()
    sampler = InterpolationEstimator(neighbours=2).fit(latents, labels)
    distance = torch.cdist(latents.double(), latents.double())
    distance[labels[:, None] != labels] = torch.inf
    distance.fill_diagonal_(torch.inf)
    nearest = distance.topk(2, largest=False).indices
    assert torch.equal(sampler.neighbours.sort()[0], nearest.sort()[0])


def test_a_class_with_too_few_latents_to_interpolate_is_refused() -> None:
    with pytest.raises(InputError, match="class 1 has 2 latents, expected more than 2 neighbours"):
        InterpolationEstimator(neighbours=2).fit(correlated(5), torch.tensor([0, 0, 0, 1, 1]))


# ---- diffusion


class Exact:
    """What a network would predict that knew that latents are N(0, deviation^2)."""

    def __init__(self, recipe: str, deviation: float) -> None:
        self.recipe, self.variance = recipe, deviation**2

    def __call__(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        if self.recipe == "edm":
            sigma = (4 * t).exp()[:, None]
            whole = (1 + sigma**2).sqrt()
            noisy = x * whole
            denoised = noisy * self.variance / (self.variance + sigma**2)
            return (denoised - noisy / whole**2) * whole / sigma
        betas = torch.linspace(BETA_FIRST, BETA_LAST, TIMES, dtype=torch.float64)
        kept = (1 - betas).cumprod(0).float()[(t * TIMES).round().long()][:, None]
        return x * (1 - kept).sqrt() / (kept * self.variance + 1 - kept)


@pytest.mark.parametrize(("recipe", "steps"), [("edm", 18), ("edm", 40), ("ddpm", 1000)])
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_a_solver_with_the_exact_prediction_draws_the_exact_distribution(
    recipe: Any, steps: int, deviation: float
) -> None:
    fitted = DiffusionEstimator(
        recipe=recipe, width=8, blocks=1, training_steps=1, batch_size=8, solver_steps=steps
    ).fit(correlated(100))
    exact: Any = Exact(recipe, deviation)
    scale = fitted.scale
    sampler = replace(fitted, network=exact)
    draws, _ = sampler.sample(6000, generator=source())
    x = scale.enter(draws)
    assert x.mean().item() == pytest.approx(0, abs=0.03)
    # Few steps widen a little, more of them less.
    assert torch.allclose(x.std(0), torch.tensor(deviation), rtol=0.08 if steps == 18 else 0.04)
    assert abs(torch.corrcoef(x.T)[0, 1].item()) < 0.05


@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionEstimator(
            width=64, blocks=2, training_steps=1000, batch_size=256, precision="float32"
        ),
        DiffusionEstimator(
            recipe="ddpm",
            width=64,
            blocks=2,
            training_steps=1000,
            batch_size=256,
            precision="float32",
            solver_steps=100,
        ),
        NormalisingFlowEstimator(
            architecture="masked_autoregressive", transforms=2, width=32, training_steps=500
        ),
        NormalisingFlowEstimator(transforms=2, width=32, training_steps=500),
        LatentVAEEstimator(width=64, training_steps=1000, batch_size=256, learning_rate=5e-3),
        LatentVAEEstimator(
            prior="vamp",
            pseudoinputs=5,
            width=64,
            training_steps=1000,
            batch_size=256,
            learning_rate=5e-3,
        ),
    ],
    ids=["EDM", "DDPM", "masked autoregressive", "neural spline", "VAE", "VampPrior"],
)
@pytest.mark.slow
def test_a_trained_network_learns_the_distribution_of_each_class(estimator: Any) -> None:
    latents = torch.cat([correlated(1000), -correlated(1000, seed=1)])
    labels = torch.arange(2).repeat_interleave(1000)
    sampler = estimator.fit(latents, labels)
    for label, sign in ((0, 1), (1, -1)):
        draws, _ = sampler.sample(5000, torch.full((5000,), label), generator=source())
        assert torch.allclose(draws.mean(0), sign * torch.tensor([10.0, -2.0]), atol=0.4)
        assert torch.allclose(draws.std(0), torch.tensor([3.0, 1.0]), rtol=0.15)
        assert torch.corrcoef(draws.T)[0, 1].item() == pytest.approx(0.8, abs=0.1)


# ---- VAE of latents


@pytest.fixture
def untrained() -> LatentVAE:
    """Of two dimensions and two classes, with three pseudoinputs of each."""
    latents = torch.randn(200, 2, generator=source())
    return LatentVAEEstimator(
        prior="vamp", pseudoinputs=3, width=16, training_steps=1, batch_size=8
    ).fit(latents, torch.arange(2).repeat_interleave(100))


def test_a_vamp_prior_is_the_mean_of_the_posteriors_at_its_pseudoinputs(
    untrained: LatentVAE,
) -> None:
    """Tomczak & Welling 2018, Equation 9, by torch.distributions."""
    u, labels = torch.randn(50, 2, generator=source()), torch.arange(50) % 2
    found = untrained.network.log_prior(u, labels)
    for label in range(2):
        pseudoinputs = untrained.network.pseudoinputs[label]
        mean, log_deviation = untrained.network.posterior(pseudoinputs, torch.full((3,), label))
        mixture = MixtureSameFamily(
            Categorical(torch.ones(3)), Independent(Normal(mean, log_deviation.exp()), 1)
        )
        own = labels == label
        assert torch.allclose(found[own], mixture.log_prob(u[own]), atol=1e-5)


def test_the_bound_is_the_likelihood_where_the_latents_of_latents_say_nothing(
    untrained: LatentVAE,
) -> None:
    """Of N(0, I) for any row, and a decoder that always gives 0 with deviation 2."""
    network = copy.deepcopy(untrained.network)
    for perceptron in (network.encoder, network.decoder):
        for parameter in perceptron.last.parameters():
            parameter.zero_()
    network.log_deviation.fill_(math.log(2))
    x, labels = torch.randn(300, 2, generator=source()), torch.arange(300) % 2
    expected = -Normal(0, 2).log_prob(x).sum(dim=1).mean()
    assert network.loss(x, labels, source()).item() == pytest.approx(expected.item(), abs=1e-4)
    network.pseudoinputs = torch.nn.Parameter(torch.zeros(2, 0, 2))  # and so with N(0, I) itself
    assert network.loss(x, labels, source()).item() == pytest.approx(expected.item(), abs=1e-4)


def test_draws_of_a_vamp_prior_come_from_all_pseudoinputs_alike(untrained: LatentVAE) -> None:
    network = copy.deepcopy(untrained.network)
    network.pseudoinputs.copy_(torch.tensor([[[-9.0, 0], [0, 0], [9, 0]]]).expand(2, 3, 2))
    network.log_deviation.fill_(-20)
    identity = SimpleNamespace(
        size=network.size,
        pseudoinputs=network.pseudoinputs,
        posterior=lambda x, labels: (x, torch.full_like(x, -1.0)),
        decoder=lambda u, labels: u,
        log_deviation=network.log_deviation,
    )
    sampler = replace(untrained, network=identity)
    drawn = sampler.scale.enter(sampler.sample(30_000, generator=source())[0])
    share = torch.bincount((drawn[:, 0] / 9).round().long() + 1, minlength=3) / 30_000
    assert torch.allclose(share, torch.full((3,), 1 / 3), atol=0.01)
    assert drawn[:, 1].std().item() == pytest.approx(math.exp(-1), abs=0.01)


def test_without_zuko_a_normalising_flow_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(InputError, match=r"zuko is not installed.*hvrt-diffuser\[rivals\]"):
        NormalisingFlowEstimator().fit(correlated(10))

"""DVP-VAE: what proves that its bounds are bounds, and that it is built as it is described."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.binary import binarise
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.image_models.dvp_vae import (
    DVPVAE,
    REDUCED_MNIST,
    SETTINGS,
    Architecture,
    DVPVAEEstimator,
    TrainingOptions,
    bounds,
    train,
)
from hvrt_diffuser.image_models.dvp_vae.bounds import importance_weighted, training_terms
from hvrt_diffuser.image_models.dvp_vae.likelihood import (
    logistic_mixture_log_likelihood,
    logistic_mixture_parameters,
    sample_logistic_mixture,
)
from hvrt_diffuser.image_models.dvp_vae.model import Normal
from hvrt_diffuser.image_models.dvp_vae.prior import (
    DiffusionPrior,
    MixturePrior,
    stratified_times,
)
from hvrt_diffuser.image_models.dvp_vae.pseudoinput import (
    Downsampled,
    Pseudoinput,
    cosine_basis,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

COLOUR = Architecture(
    shape=(3, 16, 16),
    scales=((16, 1), (8, 2)),
    channels=8,
    multiplier=0.75,
    blocks=1,
    latent_channels=2,
    strided_stem=False,
    pseudoinput_size=4,
    gamma=(-10.0, 7.0),
    denoiser_width=16,
    denoiser_blocks=1,
    components=3,
)


GREY = REDUCED_MNIST.architecture
CPU = torch.device("cpu")
COMPARED = {  # with the published model
    "classes": replace(GREY, classes=10),
    "downsampled": replace(GREY, pseudoinput="downsampled"),
    "mixture": replace(GREY, pseudoinput_prior="mixture", classes=10),
    "no aggregation": replace(GREY, aggregation=False),
    "size 11": replace(GREY, pseudoinput_size=11),
}


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pixels(digits: LabelledImages) -> Tensor:
    """Binary images of real digits of all classes, (64, 1, 28, 28)."""
    every = torch.arange(0, len(digits), len(digits) // 64)[:64]
    return binarise(digits.images[every], source())


def build(architecture: Architecture, seed: int = 0) -> DVPVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DVPVAE(architecture).eval()


def moved(architecture: Architecture) -> DVPVAE:
    """A network whose every weight is random: parts of it start with zeros."""
    built, stream = build(architecture), source(4)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=stream))
    return built


@pytest.fixture(scope="module")
def model(pixels: Tensor) -> DVPVAE:
    built = build(REDUCED_MNIST.architecture)
    built.pseudoinput.fit(pixels)
    return built


# ---- the pseudoinput


@pytest.mark.parametrize("n", [1, 5, 28])
def test_the_cosine_basis_is_scipys(n: int) -> None:
    x = torch.rand(3, 2, n, n, generator=source())
    basis = cosine_basis(n)
    found = basis @ x @ basis.T
    wanted = dctn(x.double().numpy(), axes=(2, 3), norm="ortho")
    assert np.abs(found.numpy() - wanted).max() < 1e-5
    assert torch.allclose(found.square().sum(), x.square().sum())  # Parseval
    assert torch.allclose(basis.T @ found @ basis, x, atol=1e-5)


def test_the_pseudoinput_keeps_the_lowest_frequencies(pixels: Tensor) -> None:
    wanted = dctn(pixels.double().numpy(), axes=(2, 3), norm="ortho")
    found = Pseudoinput((1, 28, 28), 5).coefficients(pixels).numpy()
    assert np.abs(found - wanted[:, :, :5, :5]).max() < 1e-4


def test_all_frequencies_give_the_image_back(pixels: Tensor) -> None:
    whole = Pseudoinput((1, 28, 28), 28)
    whole.fit(pixels)
    u = whole(pixels)
    assert u.abs().max() <= 1
    assert torch.allclose(whole.back(u), 2 * pixels - 1, atol=1e-4)


def test_the_scale_is_that_of_the_images_it_was_fitted_on_and_at_least_one(
    pixels: Tensor,
) -> None:
    part = Pseudoinput((1, 28, 28), 3)
    part.fit(pixels)
    largest = part.coefficients(pixels).abs().amax(dim=0)
    assert torch.equal(part.scale, largest.clamp(min=1))
    before = part.scale.clone()
    assert part(torch.ones(1, 1, 28, 28)).abs().max() == 1  # brighter than any digit: clipped
    assert torch.equal(part.scale, before)
    part.fit(torch.zeros(2, 1, 28, 28))
    assert (part.scale == 1).all()


def test_the_way_of_the_pseudoinput_has_no_parameter(model: DVPVAE, pixels: Tensor) -> None:
    assert list(model.pseudoinput.parameters()) == []
    assert not model.q_u(pixels).mean.requires_grad
    assert not model.pseudoinput.back(model.q_u(pixels).mean).requires_grad


def test_the_image_of_a_pseudoinput_is_the_digit_blurred(pixels: Tensor) -> None:
    part = Pseudoinput((1, 28, 28), 10)
    part.fit(pixels)
    image = part.back(part(pixels))
    own = (image - (2 * pixels - 1)).square().flatten(1).sum(1)
    other = (image - (2 * pixels.roll(7, 0) - 1)).square().flatten(1).sum(1)
    assert (own < other).all()


def test_a_downsampled_pseudoinput_is_the_means_of_squares(pixels: Tensor) -> None:
    part = Downsampled((1, 28, 28), 7)
    part.fit(pixels)
    means = pixels.view(-1, 1, 7, 4, 7, 4).mean(dim=(3, 5))
    assert torch.allclose(part(pixels), 2 * means - 1, atol=1e-6)
    assert torch.allclose(part.back(part(torch.ones(1, 1, 28, 28))), torch.ones(1, 1, 28, 28))
    assert list(part.parameters()) == []


# ---- densities


def normals() -> tuple[Normal, Normal]:
    draw = source(3)
    parts = [torch.randn(4, 2, 3, generator=draw, dtype=torch.float64) for _ in range(4)]
    return Normal(parts[0], 0.5 * parts[1]), Normal(parts[2], 0.5 * parts[3])


def test_the_density_is_that_of_torch() -> None:
    q, p = normals()
    z = q.mean + 1
    wanted = torch.distributions.Normal(p.mean, (0.5 * p.log_variance).exp()).log_prob(z)
    assert torch.allclose(p.log_density(z), wanted.flatten(1).sum(1))


def test_the_divergence_is_the_mean_of_sampled_densities() -> None:
    q, p = normals()
    draws = [q.draw(generator) for generator in [source()] for _ in range(20_000)]
    sampled = torch.stack([q.log_density(z) - p.log_density(z) for z in draws])
    error = 4 * sampled.std(0) / math.sqrt(len(draws))
    assert ((sampled.mean(0) - q.kl(p)).abs() < error).all()
    assert torch.allclose(q.kl(q), torch.zeros(4, dtype=torch.float64))


def test_grey_logistic_bins_sum_to_one() -> None:
    parameters = 2 * torch.randn(5, logistic_mixture_parameters(1, 3), 1, 1, generator=source())
    parameters[0, 2::3] = -9  # the narrowest scales
    values = torch.arange(256) / 255
    log_p = torch.stack(
        [
            logistic_mixture_log_likelihood(parameters.double(), v.expand(5, 1, 1, 1).double())
            for v in values
        ]
    )
    assert torch.allclose(log_p.logsumexp(0), torch.zeros(5, dtype=torch.float64), atol=1e-6)


def test_the_bins_of_a_channel_sum_to_one_whatever_the_channels_before_it() -> None:
    parameters = torch.randn(2, logistic_mixture_parameters(2, 3), 1, 1, generator=source())
    parameters = parameters.double()
    grid = torch.cartesian_prod(torch.arange(256), torch.arange(256)) / 255  # (65536, 2)
    for row in parameters.split(1):
        x = grid.double()[:, :, None, None]
        log_p = logistic_mixture_log_likelihood(row.expand(len(x), -1, -1, -1), x)
        assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-6)


def test_draws_of_a_logistic_mixture_have_its_likelihood() -> None:
    """The mean of -log p over draws is the entropy, which the bins give."""
    parameters = torch.randn(1, logistic_mixture_parameters(1, 2), 1, 1, generator=source(1))
    values = (torch.arange(256) / 255)[:, None, None, None]
    log_p = logistic_mixture_log_likelihood(parameters.expand(256, -1, -1, -1), values)
    entropy = -(log_p.exp() * log_p).sum().item()
    many = parameters.expand(20_000, -1, -1, -1)
    found = logistic_mixture_log_likelihood(many, sample_logistic_mixture(many, 1, source()))
    assert -found.mean().item() == pytest.approx(entropy, abs=0.03)


# ---- the diffusion


class ExactDenoiser(nn.Module):
    """The mean of the noise in z_t where u is N(mean, deviation^2)."""

    def __init__(self, mean: float, deviation: float, gamma: tuple[float, float]) -> None:
        super().__init__()
        self.mean, self.variance, self.gamma = mean, deviation**2, gamma

    def forward(self, z: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        gamma = (self.gamma[0] + (self.gamma[1] - self.gamma[0]) * t)[:, None, None, None]
        kept, lost = torch.sigmoid(-gamma), torch.sigmoid(gamma)
        return lost.sqrt() * (z - kept.sqrt() * self.mean) / (kept * self.variance + lost)


GAMMA = (-10.0, 10.0)


def gaussian_prior() -> tuple[DiffusionPrior, Tensor, float]:
    """A diffusion whose denoiser is exact, draws of u, and their true mean of -log density."""
    prior = DiffusionPrior(ExactDenoiser(0.2, 0.3, GAMMA), (1, 3, 3), GAMMA)
    u = 0.2 + 0.3 * torch.randn(2000, 1, 3, 3, generator=source())
    density = torch.distributions.Normal(0.2, 0.3).log_prob(u).flatten(1).sum(1)
    return prior, u, -density.double().mean().item()


def test_times_are_stratified() -> None:
    t = stratified_times(50, 8, source())
    assert t.shape == (8, 50)
    assert ((t >= torch.arange(8)[:, None] / 8) & (t < torch.arange(1, 9)[:, None] / 8)).all()


def test_the_bound_of_an_exact_denoiser_is_close_above_the_truth() -> None:
    prior, u, truth = gaussian_prior()
    found = prior.mean_bound(u, 64, source()).double().mean().item()
    assert truth - 0.05 < found < truth + 1


def test_one_time_for_each_row_is_unbiased() -> None:
    prior, u, _ = gaussian_prior()
    many = u.repeat(10, 1, 1, 1)
    t = torch.rand(len(many), generator=source(5))
    noise = torch.randn(many.shape, generator=source(6))
    one = prior.bound(many, t, noise).double()
    mean = prior.mean_bound(u, 64, source()).double().mean()
    assert abs(one.mean() - mean) < 4 * one.std() / math.sqrt(len(many))


def test_discrete_time_is_above_continuous_time_and_comes_down_to_it() -> None:
    """Kingma et al. 2021, Equation 13 and Appendix: the more steps, the tighter."""
    prior, u, _ = gaussian_prior()
    noise = torch.randn(u.shape, generator=source(9))

    def discrete(steps: int) -> float:
        total = torch.zeros(len(u))
        for i in range(1, steps + 1):
            t, s = torch.full((len(u),), i / steps), torch.full((len(u),), (i - 1) / steps)
            error = noise - prior.denoiser(prior.corrupt(u, t, noise), t)
            weight = torch.expm1(prior.gamma(t) - prior.gamma(s))
            total += 0.5 * weight * error.square().flatten(1).sum(1)
        return (total + prior.end_losses(u)).double().mean().item()

    continuous = prior.mean_bound(u, 256, source()).double().mean().item()
    few, some, many = (discrete(steps) for steps in (10, 40, 400))
    assert few > some > many > continuous - 0.05
    assert many - continuous < 0.3


def test_evenly_spaced_times_that_leave_out_zero_would_be_too_low() -> None:
    """The mistake that stratified times avoid."""
    prior, u, _ = gaussian_prior()
    noise = torch.randn(u.shape, generator=source(9))
    evenly = [
        prior.diffusion_loss(u, torch.full((len(u),), i / 10), noise).mean() for i in range(1, 11)
    ]
    lower = torch.stack(evenly).mean() + prior.end_losses(u).mean()
    assert lower < prior.mean_bound(u, 64, source()).mean() - 1


def test_ancestral_sampling_with_the_exact_denoiser_draws_its_distribution() -> None:
    prior, _, _ = gaussian_prior()
    u = prior.sample(4000, 200, source())
    assert u.shape == (4000, 1, 3, 3)
    assert u.mean().item() == pytest.approx(0.2, abs=0.01)
    assert u.std().item() == pytest.approx(0.3, abs=0.01)


# ---- a mixture in the diffusion's place


@pytest.fixture
def mixture() -> MixturePrior:
    """Of two classes and five Gaussians, in six dimensions."""
    prior = MixturePrior((1, 2, 3), 5, 2)
    prior.start(torch.rand(50, 1, 2, 3, generator=source()), source(1))
    with torch.no_grad():
        prior.weight.copy_(torch.randn(2, 5, generator=source(2)))
    return prior


def test_the_density_of_a_mixture_is_that_of_torch(mixture: MixturePrior) -> None:
    u, labels = torch.rand(7, 1, 2, 3, generator=source(3)), torch.arange(7) % 2
    deviation = (0.5 * mixture.log_variance).exp()
    each = torch.distributions.Independent(torch.distributions.Normal(mixture.mean, deviation), 1)
    for c in range(2):
        weights = torch.distributions.Categorical(logits=mixture.weight[c])
        whole = torch.distributions.MixtureSameFamily(weights, each)
        found = mixture.surprise(u, labels)[labels == c]
        assert torch.allclose(found, -whole.log_prob(u.flatten(1))[labels == c], atol=1e-4)
    assert torch.equal(mixture.mean_bound(u, 3, source(), labels), mixture.surprise(u, labels))


def test_draws_of_a_mixture_have_its_density(mixture: MixturePrior) -> None:
    """The mean of -log r over draws of the class is least under that class."""
    for c in range(2):
        labels = torch.full((4000,), c)
        drawn = mixture.sample(4000, 1, source(5), labels)
        own, other = (mixture.surprise(drawn, each).mean() for each in (labels, 1 - labels))
        assert own < other - 0.02
        mean = (mixture.weight[c].softmax(0)[:, None] * mixture.mean).sum(0)
        assert torch.allclose(drawn.flatten(1).mean(0), mean, atol=0.03)


# ---- importance weights


def test_more_draws_tighten_the_bound_up_to_the_truth() -> None:
    """X = z + e, with z and e standard normal: log p(x) is that of N(0, 2)."""
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    prior = Normal(torch.zeros_like(x), torch.zeros_like(x))
    posterior = Normal(0.4 * x, torch.full_like(x, math.log(0.7)))  # not the exact one
    draws, stream = 20_000, source()

    def log_weight(z: Tensor) -> Tensor:
        like = Normal(z, torch.zeros_like(x)).log_density(x)
        return like + prior.log_density(z) - posterior.log_density(z)

    weights = torch.stack([log_weight(posterior.draw(stream)) for _ in range(draws)])
    elbo = weights.mean(0)
    some = torch.stack([importance_weighted(part) for part in weights.split(20)]).mean(0)
    exact = Normal(torch.zeros_like(x), torch.full_like(x, math.log(2))).log_density(x)
    assert (elbo < some).all()
    assert (some < exact + 5e-3).all()  # the error of 1,000 means
    assert torch.allclose(importance_weighted(weights), exact, atol=0.02)


# ---- the network


@pytest.mark.parametrize("architecture", [REDUCED_MNIST.architecture, COLOUR])
def test_every_latent_changes_the_image(architecture: Architecture) -> None:
    built = build(architecture)
    u = built.prior.sample(2, 3, source())
    found = built.descend(u, None, source())
    latents = found.latents
    assert len(latents) == len(found.priors) == sum(n for _, n in architecture.scales)
    whole = built.decode(found)
    for i in range(len(latents)):
        without = [torch.zeros_like(z) if j == i else z for j, z in enumerate(latents)]
        assert not torch.allclose(built.decode(found._replace(latents=without)), whole, atol=1e-4)


def test_levels_go_from_coarse_to_fine(model: DVPVAE) -> None:
    found = model.descend(torch.zeros(1, 1, 3, 3), None, source())
    assert [z.shape[-1] for z in found.latents] == [7, 7, 14, 14]


def test_the_state_ends_before_the_last_latent(model: DVPVAE) -> None:
    last = model.levels[-1]
    assert not hasattr(last, "merge")
    assert not hasattr(last, "from_latent")


def test_what_the_state_becomes_reaches_the_image_without_aggregation_alone() -> None:
    for aggregation in (True, False):
        built = build(replace(GREY, aggregation=aggregation))
        found = built.descend(torch.zeros(2, 1, 3, 3), None, source())
        other = built.decode(found._replace(state=found.state + 1))
        assert torch.equal(built.decode(found), other) == aggregation


def test_both_priors_see_the_class_and_the_posterior_through_the_state_alone(
    pixels: Tensor,
) -> None:
    built = moved(replace(GREY, classes=3))
    zeros, ones = (torch.full((2,), c) for c in (0, 1))
    u, t = torch.zeros(2, 1, 3, 3), torch.full((2,), 0.5)
    assert isinstance(built.prior, DiffusionPrior)
    assert not torch.equal(built.prior.denoiser(u, t, zeros), built.prior.denoiser(u, t, ones))
    features = built.features(pixels[:2])
    one, other = (built.descend(u, features, source(), labels) for labels in (zeros, ones))
    assert torch.equal(one.posteriors[0].mean, other.posteriors[0].mean)
    assert all(
        not torch.equal(p.mean, q.mean) for p, q in zip(one.priors, other.priors, strict=True)
    )
    drawn = [built.sample(2, 3, source(), labels) for labels in (zeros, ones, ones)]
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_a_model_of_classes_does_without_labels_nowhere(pixels: Tensor) -> None:
    built = build(replace(GREY, classes=10))
    for call in (
        lambda: built.sample(2, 3, source()),
        lambda: built(pixels[:2], source()),
        lambda: bounds(built, pixels[:2], source=source()),
        lambda: train(pixels.byte(), built.architecture, quick(), seed=0, device=CPU),
    ):
        with pytest.raises(InputError, match="no labels were given to a DVP-VAE of 10 classes"):
            call()
    with pytest.raises(InputError, match="3 labels were given for 2 images"):
        bounds(built, pixels[:2], source=source(), labels=torch.arange(3))


def test_the_prior_never_sees_the_encoder(pixels: Tensor) -> None:
    built = build(REDUCED_MNIST.architecture)
    before = built.sample(2, 5, source())
    with torch.no_grad():
        for part in (built.stem, built.encoder, *(level.posterior for level in built.levels)):
            for parameter in part.parameters():
                parameter.fill_(math.nan)
    assert torch.equal(built.sample(2, 5, source()), before)
    assert torch.isnan(built(pixels[:2], source()).parameters).all()


def test_the_posterior_sees_the_image_and_the_context_only_through_the_state(
    model: DVPVAE, pixels: Tensor
) -> None:
    features = model.features(pixels[:2])
    one, other = (model.descend(u, features, source()) for u in torch.randn(2, 2, 1, 3, 3))
    pairs = zip(one.posteriors[:1], other.posteriors[:1], strict=True)
    assert all(torch.equal(p.mean, q.mean) for p, q in pairs)  # of the first level: no state yet
    assert not torch.equal(one.priors[0].mean, other.priors[0].mean)


def test_a_network_is_rebuilt_from_json(model: DVPVAE) -> None:
    rebuilt = DVPVAE(**json.loads(json.dumps(model.size)))
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.architecture == model.architecture
    assert torch.equal(rebuilt.sample(3, 5, source()), model.sample(3, 5, source()))


@pytest.mark.parametrize("size", [0, 29])
def test_a_pseudoinput_of_more_numbers_than_pixels_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"pseudoinput_size is {size} for images of 28 x 28"):
        replace(GREY, pseudoinput_size=size)


@pytest.mark.parametrize("name", COMPARED)
def test_what_is_compared_with_is_trained_bounded_rebuilt_and_drawn_from(
    digits: LabelledImages, name: str
) -> None:
    images, labels = digits.images[:320], digits.labels[:320]
    built, (row,) = train(
        images, COMPARED[name], quick(epochs=1), labels=labels, seed=0, device=CPU
    )
    assert math.isfinite(row["loss"])
    binary = binarise(images[:8], source())
    asked: dict[str, Any] = {"labels": labels[:8], "iwae_samples": 3, "iwae_images": 5, "times": 8}
    found = bounds(built, binary, source=source(), **asked)
    parts = found.nll + found.pseudoinput + found.label + sum(found.levels)
    assert found.elbo == pytest.approx(parts, rel=1e-5)
    assert found.iwae is not None
    rebuilt = DVPVAE(**json.loads(json.dumps(built.size))).eval()
    rebuilt.load_state_dict(built.state_dict())
    drawn, again = (each.sample(8, 5, source(), labels[:8]) for each in (built, rebuilt))
    assert torch.equal(drawn, again)
    assert drawn.shape == (8, 1, 28, 28)


def test_scales_that_no_halving_reaches_are_refused() -> None:
    with pytest.raises(InputError, match="halve"):
        Architecture(**{**vars(COLOUR), "scales": ((16, 1), (6, 1))})


@pytest.mark.parametrize(
    ("name", "millions"), [("mnist", 0.65), ("omniglot", 1.30), ("cifar10", 19.5)]
)
def test_the_settings_of_the_paper_are_about_as_large_as_it_says(
    name: str, millions: float
) -> None:
    """Within 15%: the paper does not give the size of every part."""
    with torch.device("meta"):
        built = DVPVAE(SETTINGS[name].architecture)
    found = sum(p.numel() for p in built.parameters()) / 1e6
    assert found == pytest.approx(millions, rel=0.15)


def test_colour_images_train_and_come_out_in_range() -> None:
    images = torch.randint(0, 256, (32, 3, 16, 16), generator=source(), dtype=torch.uint8)
    options = TrainingOptions(epochs=1, batch_size=16)
    built, (row,) = train(images, COLOUR, options, seed=0, device=torch.device("cpu"))
    assert math.isfinite(row["loss"])
    pixels = images.float() / 255  # which the encoder sees standardised
    assert torch.allclose(built.centre[:, 0, 0], pixels.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(built.spread[:, 0, 0], pixels.std(dim=(0, 2, 3)), atol=1e-5)
    drawn = built.sample(2, 3, source())
    assert drawn.shape == (2, 3, 16, 16)
    assert torch.allclose(drawn * 255, (drawn * 255).round(), atol=1e-4)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


# ---- bounds of a network


@pytest.mark.slow
def test_the_bounds_are_in_their_order(model: DVPVAE, pixels: Tensor) -> None:
    with torch.no_grad():
        found = bounds(model, pixels[:16], source=source(), iwae_samples=20, times=64)
    assert found.iwae is not None
    assert found.iwae < found.elbo
    assert found.elbo == pytest.approx(found.nll + found.pseudoinput + sum(found.levels), rel=1e-5)
    assert len(found.levels) == len(found.active_units) == 4


def test_one_importance_sample_is_the_bound_itself(model: DVPVAE, pixels: Tensor) -> None:
    """The closed forms and the sampled densities have one mean."""
    some = pixels[:8].repeat(25, 1, 1, 1)
    found = bounds(model, some, source=source(), iwae_samples=1, times=64)
    assert found.iwae == pytest.approx(found.elbo, rel=0.01)


def test_training_estimates_the_bound_that_is_reported(model: DVPVAE, pixels: Tensor) -> None:
    many = pixels.repeat(20, 1, 1, 1)
    with torch.no_grad():
        estimate = training_terms(model, many, source())
    found = bounds(model, pixels, source=source(), times=64)
    error = 4 * estimate.total.std().item() / math.sqrt(len(many))
    assert abs(estimate.total.mean().item() - found.elbo) < error + 0.5


def test_the_bound_of_classes_is_of_images_alone(pixels: Tensor) -> None:
    """p(x) >= p(x|y) p(y): what is not known of the class is paid for."""
    labels = torch.arange(8) % 4
    built = build(replace(GREY, classes=4))
    built.share.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    found = bounds(built, pixels[:8], source=source(), labels=labels, iwae_samples=1)
    assert found.label == pytest.approx(-built.share.log().mean().item())
    known = build(replace(GREY, classes=4))
    known.share.fill_(1)
    given = bounds(known, pixels[:8], source=source(), labels=labels, iwae_samples=1)
    assert given.iwae is not None and found.iwae is not None
    assert found.elbo - given.elbo == pytest.approx(found.label, abs=1e-3)
    assert found.iwae - given.iwae == pytest.approx(found.label, abs=1e-3)


def test_bits_per_dimension_are_those_of_colour() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=source()) / 255
    found = bounds(build(COLOUR), images, source=source(), times=4)
    assert found.bits_per_dim == pytest.approx(found.elbo / math.log(2) / (3 * 16 * 16))
    grey = bounds(build(GREY), torch.zeros(4, 1, 28, 28), source=source(), times=4)
    assert grey.bits_per_dim is None


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.full((2, 1, 28, 28), 0.25), "the value 0.25 were given, expected zeros and ones"),
        (torch.ones(2, 1, 28, 28, dtype=torch.uint8), r"type torch\.uint8 were given"),
        (torch.zeros(2, 3, 32, 32), r"expected \(n, 1, 28, 28\)"),
    ],
)
def test_images_that_are_not_as_the_likelihood_has_them_are_refused(
    model: DVPVAE, images: Tensor, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        bounds(model, images, source=source())


def test_colour_beyond_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="the value 7 were given, expected grey levels"):
        bounds(build(COLOUR), torch.full((2, 3, 16, 16), 7.0), source=source())


# ---- training


def quick(**options: Any) -> TrainingOptions:
    return TrainingOptions(**{"epochs": 3, "batch_size": 32, "ema_decay": 0.9} | options)


@pytest.mark.slow
def test_it_overfits_64_images(digits: LabelledImages) -> None:
    """Of black and white: grey pixels would be drawn anew in every batch."""
    every = torch.arange(0, len(digits), len(digits) // 64)[:64]
    seen, unseen = (
        255 * (digits.images[rows] > 127).to(torch.uint8) for rows in (every, every + 1)
    )
    options = quick(epochs=100, batch_size=16, ema_decay=0.99)
    cpu = torch.device("cpu")
    built, history = train(seen, REDUCED_MNIST.architecture, options, seed=0, device=cpu)
    last = history[-1]
    assert last["loss"] == pytest.approx(
        last["nll"] + last["pseudoinput"] + sum(last["levels"]), rel=1e-4
    )
    own, other = (
        bounds(built, images.float() / 255, source=source()).elbo for images in (seen, unseen)
    )
    assert history[0]["loss"] > 500
    assert last["loss"] < 105
    assert own < other - 6  # two samples of 64 differ by 3 where nothing was learned by heart


class CutOffError(Exception):
    """Stands for a kill between two epochs."""


class Failing(Checkpoint):
    """Dies after it has written for the second time."""

    written = 0

    def write(self, *args: Any) -> None:
        super().write(*args)
        self.written += 1
        if self.written == 2:
            raise CutOffError


def test_resuming_gives_the_same_losses_and_weights(digits: LabelledImages, tmp_path: Path) -> None:
    images, cpu = digits.images[::50], torch.device("cpu")
    arguments = (images, REDUCED_MNIST.architecture, quick())
    whole, history = train(*arguments, seed=0, device=cpu)
    with pytest.raises(CutOffError):
        train(*arguments, seed=0, device=cpu, checkpoint=Failing(tmp_path / "state"))
    kept = Checkpoint(tmp_path / "state")
    resumed, again = train(*arguments, seed=0, device=cpu, checkpoint=kept)
    assert json.dumps(again) == json.dumps(history)  # the order of a row's names as well
    pairs = itertools.zip_longest(whole.state_dict().values(), resumed.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(InputError, match="batch_size"):
        train(*arguments[:2], quick(batch_size=16), seed=0, device=cpu, checkpoint=kept)


@pytest.mark.slow
def test_what_is_measured_after_an_epoch_changes_nothing(
    digits: LabelledImages, tmp_path: Path
) -> None:
    images, cpu = digits.images[::50], torch.device("cpu")
    unseen = (digits.images[25:2000:50] > 127).float()
    arguments = (images, REDUCED_MNIST.architecture, quick(ema_decay=0.0))

    def look(model: DVPVAE) -> dict[str, float]:
        return {"elbo": bounds(model, unseen, source=source()).elbo}

    alone, before = train(*arguments, seed=0, device=cpu)
    kept = Checkpoint(tmp_path / "state")
    built, history = train(*arguments, seed=0, device=cpu, checkpoint=kept, look=look)
    assert [row | {"validation": None} for row in history] == before
    pairs = zip(alone.state_dict().values(), built.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    rows = [row["validation"]["elbo"] for row in history]
    assert rows[0] > rows[-1] == bounds(built, unseen, source=source()).elbo > 0
    _, again = train(*arguments, seed=0, device=cpu, checkpoint=kept, look=look)
    assert again == history


def test_the_seed_decides(digits: LabelledImages) -> None:
    arguments = (digits.images[::100], REDUCED_MNIST.architecture, quick(epochs=1))
    cpu = torch.device("cpu")
    one, again, other = (train(*arguments, seed=s, device=cpu)[1] for s in (0, 0, 1))
    assert one == again != other


def test_a_class_is_drawn_when_it_is_asked_for() -> None:
    """Bright above, or below, by the class: images that nobody mistakes."""
    labels = torch.arange(64) % 2
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    images[labels == 0, :, :14] = 255
    images[labels == 1, :, 14:] = 255
    options = quick(epochs=20, batch_size=16)
    built, _ = train(images, replace(GREY, classes=2), options, labels=labels, seed=0, device=CPU)
    asked = torch.arange(100) % 2
    drawn = built.sample(100, 25, source(), asked)
    above = drawn[:, :, :14].mean(dim=(1, 2, 3)) > drawn[:, :, 14:].mean(dim=(1, 2, 3))
    assert (above == (asked == 0)).sum() > 75, "of 50 by chance, and 5 more by luck"


def test_labels_of_no_class_are_refused(digits: LabelledImages) -> None:
    labels = torch.zeros(64, dtype=torch.long)
    with pytest.raises(InputError, match=r"values \[0\], expected every class from 0 to 9"):
        train(digits.images[:64], COMPARED["classes"], quick(), labels=labels, seed=0, device=CPU)


def test_a_checkpoint_of_another_setting_is_told_by_its_name(
    digits: LabelledImages, tmp_path: Path
) -> None:
    some, kept = (digits.images[:320], digits.labels[:320]), Checkpoint(tmp_path / "state")
    with pytest.raises(CutOffError):
        DVPVAEEstimator(epochs=3).fit(*some, seed=0, device=CPU, checkpoint=Failing(kept.path))
    with pytest.raises(InputError, match=r"with conditional True, while this one has .* False"):
        DVPVAEEstimator(epochs=3, conditional=False).fit(*some, seed=0, device=CPU, checkpoint=kept)
    with pytest.raises(InputError, match="with setting reduced_mnist, while this one has setting "):
        DVPVAEEstimator(epochs=3, setting="mnist", batch_size=128).fit(
            *some, seed=0, device=CPU, checkpoint=kept
        )


def test_a_setting_of_another_shape_is_told_with_one_that_fits(digits: LabelledImages) -> None:
    with pytest.raises(InputError, match=r"dvp_vae\.setting to reduced_mnist or mnist or omniglot"):
        DVPVAEEstimator(setting="cifar10").check(digits.images, digits.labels)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'mnits' is none of .*mnist.*: choose one of them"):
        DVPVAEEstimator(setting="mnits")


def test_images_of_another_shape_or_too_few_are_refused(digits: LabelledImages) -> None:
    cpu = torch.device("cpu")
    for images in (digits.images[:8], digits.images[:64, :, :20]):
        with pytest.raises(InputError, match="expected at least a batch of 32 of shape"):
            train(images, REDUCED_MNIST.architecture, quick(), seed=0, device=cpu)

"""DVP-VAE: what proves that its bounds are bounds, and that it is built as it is described."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.image_models.dvp_vae import (
    DVPVAE,
    REDUCED_MNIST,
    SETTINGS,
    Architecture,
    DVPVAEEstimator,
    TrainingOptions,
    binarise,
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
from hvrt_diffuser.image_models.dvp_vae.prior import DiffusionPrior, stratified_times
from hvrt_diffuser.image_models.dvp_vae.pseudoinput import Pseudoinput, cosine_basis
from hvrt_diffuser.training.checkpoint import Checkpoint

COLOUR = Architecture(
    shape=(3, 16, 16),
    scales=((16, 1), (8, 2)),
    channels=8,
    multiplier=0.75,
    blocks=1,
    latent_channels=2,
    strided_stem=False,
    dct_size=4,
    gamma=(-10.0, 7.0),
    denoiser_width=16,
    denoiser_blocks=1,
    components=3,
)


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

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
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
    latents, _, priors = built.descend(u, None, source())
    assert len(latents) == len(priors) == sum(n for _, n in architecture.scales)
    whole = built.decode(latents)
    for i in range(len(latents)):
        without = [torch.zeros_like(z) if j == i else z for j, z in enumerate(latents)]
        assert not torch.allclose(built.decode(without), whole, atol=1e-4)


def test_levels_go_from_coarse_to_fine(model: DVPVAE) -> None:
    latents, _, _ = model.descend(torch.zeros(1, 1, 3, 3), None, source())
    assert [z.shape[-1] for z in latents] == [7, 7, 14, 14]


def test_the_state_ends_before_the_last_latent(model: DVPVAE) -> None:
    last = model.levels[-1]
    assert not hasattr(last, "merge")
    assert not hasattr(last, "from_latent")


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
    assert torch.equal(one[1][0].mean, other[1][0].mean)  # of the first level: no state yet
    assert not torch.equal(one[2][0].mean, other[2][0].mean)


def test_a_network_is_rebuilt_from_json(model: DVPVAE) -> None:
    rebuilt = DVPVAE(**json.loads(json.dumps(model.size)))
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.architecture == model.architecture
    assert torch.equal(rebuilt.sample(3, 5, source()), model.sample(3, 5, source()))


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
def test_validation_images_are_measured_and_change_nothing(
    digits: LabelledImages, tmp_path: Path
) -> None:
    images, cpu = digits.images[::50], torch.device("cpu")
    unseen = (digits.images[25:2000:50] > 127).float()
    arguments = (images, REDUCED_MNIST.architecture, quick(ema_decay=0.0))
    alone, before = train(*arguments, seed=0, device=cpu)
    kept = Checkpoint(tmp_path / "state")
    built, history = train(*arguments, seed=0, device=cpu, checkpoint=kept, validation=unseen)
    assert [row | {"validation": None} for row in history] == before
    pairs = zip(alone.state_dict().values(), built.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    rows = [row["validation"] for row in history]
    assert rows[0] > rows[-1] > 0
    # Other noise than here, of which 40 images keep a little.
    assert rows[-1] == pytest.approx(bounds(built, unseen, source=source()).elbo, rel=0.03)
    _, again = train(*arguments, seed=0, device=cpu, checkpoint=kept, validation=unseen)
    assert again == history


def test_the_seed_decides(digits: LabelledImages) -> None:
    arguments = (digits.images[::100], REDUCED_MNIST.architecture, quick(epochs=1))
    cpu = torch.device("cpu")
    one, again, other = (train(*arguments, seed=s, device=cpu)[1] for s in (0, 0, 1))
    assert one == again != other


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'mnits' is none of .*mnist.*: choose one of them"):
        DVPVAEEstimator(setting="mnits")


def test_images_of_another_shape_or_too_few_are_refused(digits: LabelledImages) -> None:
    cpu = torch.device("cpu")
    for images in (digits.images[:8], digits.images[:64, :, :20]):
        with pytest.raises(InputError, match="expected at least a batch of 32 of shape"):
            train(images, REDUCED_MNIST.architecture, quick(), seed=0, device=cpu)

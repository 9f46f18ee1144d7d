"""A coarse code and detail: what the loss asks for, and what a training learns of real digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.image_models import CoarseToFine, CoarseToFineEstimator
from hvrt_diffuser.image_models.coarse_to_fine.energy import distance, energy_score, scales
from hvrt_diffuser.image_models.coarse_to_fine.model import moved
from hvrt_diffuser.image_models.coarse_to_fine.network import DetailNetwork
from hvrt_diffuser.image_models.coarse_to_fine.perception import Perception
from hvrt_diffuser.samplers import HVRTEstimator

CPU = torch.device("cpu")
QUICK: dict[str, Any] = {
    "latent_dim": 8,
    "width": 32,
    "training_steps": 3,
    "perception_steps": 3,
    "batch_size": 8,
}


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- the loss


def score(one: Tensor, other: Tensor, real: Tensor) -> float:
    return float(energy_score([one], [other], [real], [1.0]))


def test_the_score_is_least_for_draws_of_the_distribution_itself() -> None:
    """Of a normal distribution; what has its mean alone, or is too wide, scores worse."""
    real, one, other = torch.randn(3, 40_000, 4, generator=source())
    scores = {s: score(s * one, s * other, real) for s in (0.0, 0.5, 1.0, 2.0)}
    assert min(scores, key=lambda s: scores[s]) == 1.0
    # E||X|| of four dimensions, less half of E||X - X'||: by the chi distribution.
    expected = 2**0.5 * 1.3293404 * (2**0.5 - 0.5 * 2**0.5)
    assert scores[1.0] == pytest.approx(expected, rel=0.01)


def test_a_distance_is_a_norm_for_each_place() -> None:
    a = torch.zeros(2, 3, 4, 5)
    b = a.clone()
    b[:, :, 1, 2] = torch.tensor([2.0, 3.0, 6.0])
    assert float(distance(a, b)) == pytest.approx(7 / 20, rel=0.01)


def correlated(n: int) -> Tensor:
    """Images uint8 (n, 3, 16, 16) of soft grey shapes with faint noise, as photographs are."""
    soft = torch.nn.functional.interpolate(
        torch.randn(n, 1, 4, 4, generator=source(1)), size=16, mode="bicubic"
    )
    faint = 0.02 * torch.randn(n, 3, 16, 16, generator=source(2))
    return ((0.5 + 0.15 * soft + faint).clamp(0, 1) * 255).round().to(torch.uint8)


def test_whitened_patches_vary_alike_in_every_direction() -> None:
    images = correlated(3000)
    network = Perception(3, 2)
    network.look_at(images[:2000])
    fresh = network(images[2000:].float() / 255)[0][1][:, :, ::2, ::2]  # where it has looked
    covariance = torch.cov(fresh.transpose(0, 1).flatten(1))
    values = torch.linalg.eigvalsh(covariance)
    # Next to the faintest direction, of variance .0004, the floor of .0001 counts.
    assert values[0].item() > 0.6
    assert values[-1].item() < 1.2


def test_whitened_patches_see_faint_noise_of_colour() -> None:
    """Of the same energy, more than three times as far as the nearest other kind of features."""
    x = correlated(500)
    network = Perception(3, 2)
    network.look_at(x)
    x = x.float() / 255
    kinds = network(x)[0]
    units = scales(kinds)
    noise = 0.05 * torch.randn(x.shape, generator=source(3))
    seen = [distance(a, b).item() for a, b in zip(network(x + noise)[0], kinds, strict=True)]
    pixels, whitened, *stages = (a / unit for a, unit in zip(seen, units, strict=True))
    assert whitened > 3 * max(pixels, *stages)


# ---- codes and strength


def test_strength_goes_from_the_row_itself_to_beyond_the_draw() -> None:
    latents = torch.randn(60, 3, generator=source())
    sampler = HVRTEstimator().fit(latents, torch.arange(60) % 2)
    drawn = sampler.draw(9, generator=source(1))
    assert drawn.rows is not None
    rows = sampler.latents[drawn.rows]
    for strength in (0.0, 1.0, 2.0):
        found = moved(drawn, sampler.latents, torch.full((9,), strength))
        torch.testing.assert_close(found, rows + strength * (drawn.latents - rows))
    without = drawn._replace(rows=None)
    assert torch.equal(moved(without, sampler.latents, torch.zeros(9)), drawn.latents)


# ---- the network


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 48), (3, 128, 128)])
def test_images_keep_their_shape_and_noise_changes_them(shape: tuple[int, int, int]) -> None:
    network = DetailNetwork(shape, 2, 32).eval()
    torch.nn.init.normal_(network.leave.weight, std=0.1, generator=source())
    coarse = torch.rand(3, *shape, generator=source())
    given = coarse, torch.tensor([0, 1, 1]), torch.ones(3)
    with torch.no_grad():
        one, again, other = (network(*given, source(seed)) for seed in (0, 0, 1))
    assert one.shape == coarse.shape
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_colour_of_single_pixels_is_not_drawn() -> None:
    """Chroma of what the network adds is interpolated: within four pixels it hardly differs."""
    network = DetailNetwork((3, 32, 32), 1, 32).eval()
    planes = torch.randn(4, 6, 16, 16, generator=source())
    added = network._composed(planes)
    luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), added)
    blue, red = added[:, 2] - luma, added[:, 0] - luma
    high = luma.diff(dim=2).square().mean()
    for chroma in (blue / 1.772, red / 1.402):
        assert chroma.diff(dim=2).square().mean() < 0.02 * high
        squares = torch.nn.functional.avg_pool2d(chroma[:, None], 4)
        assert squares.std() > 0.25


# ---- the whole


@pytest.fixture(scope="module")
def pair(digits: LabelledImages) -> tuple[Tensor, Tensor]:
    kept = (digits.labels < 2).nonzero()[:200, 0]
    return digits.images[kept], digits.labels[kept]


@pytest.fixture(scope="module")
def fitted(pair: tuple[Tensor, Tensor]) -> CoarseToFine:
    return CoarseToFineEstimator(**QUICK).fit(*pair, seed=0, device=CPU)


def test_another_strength_is_a_matter_of_drawing(
    pair: tuple[Tensor, Tensor], fitted: CoarseToFine
) -> None:
    stronger = CoarseToFineEstimator(**QUICK, strength=1.5)
    adapted, trained = stronger.adapt(fitted), stronger.fit(*pair, seed=0, device=CPU)
    assert adapted.origin == trained.origin
    drawn = [model.sample(20, generator=source())[0] for model in (adapted, trained, fitted)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_codes_of_a_sampler_without_rows_go_through_the_same_network(
    pair: tuple[Tensor, Tensor], fitted: CoarseToFine
) -> None:
    other = CoarseToFineEstimator(**QUICK, codes="mixture").fit(*pair, seed=0, device=CPU)
    assert not other.codes.keeps_latents
    for name, weights in other.network.state_dict().items():
        assert torch.equal(weights, fitted.network.state_dict()[name]), name
    images, labels = other.sample(5, torch.tensor([1, 0, 1, 1, 0]), generator=source())
    assert images.shape == (5, 1, 28, 28)
    assert labels.tolist() == [1, 0, 1, 1, 0]


def test_a_draw_has_the_class_of_the_row_whose_code_it_is(fitted: CoarseToFine) -> None:
    """At strength 0 and without the network's changes it is the blurred training image."""
    drawn = fitted.codes.draw(40, torch.arange(40) % 2, generator=source())
    blurred = fitted.coarse.decode(moved(drawn, fitted.codes.latents, torch.zeros(40)))
    ink = blurred.mean(dim=(1, 2, 3))
    noughts, ones = ink[drawn.labels == 0].mean(), ink[drawn.labels == 1].mean()
    assert noughts > 1.5 * ones


def test_strength_is_an_option_of_drawing(fitted: CoarseToFine) -> None:
    near, far = (replace(fitted, strength=s).sample(9, generator=source())[0] for s in (0.0, 1.75))
    assert not torch.equal(near, far)


@pytest.mark.parametrize("codes", ["vq_vae", "nosuch"])
def test_what_draws_no_codes_is_refused(codes: str) -> None:
    with pytest.raises((InputError, ValidationError), match=r"expected (a sampler|one) of"):
        CoarseToFineEstimator(codes=codes)


def test_images_that_do_not_fit_are_refused_before_any_training(
    pair: tuple[Tensor, Tensor],
) -> None:
    images, labels = pair
    estimator = CoarseToFineEstimator(**QUICK)
    for odd in (images[..., :27], images.repeat(1, 2, 1, 1)):
        with pytest.raises(InputError, match=r"multiples of 4: set dataset\.resize"):
            estimator.check(odd, labels)
    with pytest.raises(InputError, match="5 training images have no 8 principal components"):
        estimator.check(images[:5], labels[:5])


@pytest.mark.slow
def test_detail_brings_digits_nearer_to_real_ones_than_their_codes_are(
    digits: LabelledImages,
) -> None:
    """By the energy of what changes from pixel to pixel, which a coarse image lacks."""
    kept = (digits.labels < 2).nonzero()[:, 0]
    images, labels = digits.images[kept], digits.labels[kept]
    options = {**QUICK, "training_steps": 400, "perception_steps": 60, "batch_size": 32}
    model = CoarseToFineEstimator(**options).fit(images, labels, seed=0, device=CPU)
    drawn, _ = model.sample(300, generator=source())
    codes, _ = model.codes.sample(300, generator=source())

    def sharpness(x: Tensor) -> float:
        return float(x.diff(dim=3).square().mean())

    real = sharpness(images.float() / 255)
    blurred = sharpness(model.coarse.decode(codes).clamp(0, 1))
    assert abs(sharpness(drawn.float() / 255) - real) < 0.5 * (real - blurred)

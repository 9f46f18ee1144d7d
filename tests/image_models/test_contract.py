"""What every whole model keeps to, by its name, and what the trained ones learn of real digits."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.image_models import (
    VQVAE,
    DVPVAEEstimator,
    ImageModel,
    ImageModelEstimator,
    PixelDiffusionEstimator,
    VQVAEEstimator,
    load_image_model,
)
from hvrt_diffuser.samplers import load_sampler
from hvrt_diffuser.training.checkpoint import Checkpoint

pytest.importorskip("diffusers")

CPU = torch.device("cpu")
COUNTS = (120, 60)
QUICK_PIXELS = {"channels": (8, 8), "training_steps": 3, "batch_size": 8, "steps": 4}
# A name that is not here is tested with its defaults.
QUICK: dict[str, dict[str, Any]] = {
    "pixel_diffusion": QUICK_PIXELS,
    "vq_vae": {
        "codes": 16,
        "code_dim": 4,
        "width": 8,
        "prior_width": 8,
        "prior_layers": 1,
        "training_steps": 3,
        "batch_size": 8,
    },
    "dvp_vae": {"epochs": 2},
    "coarse_to_fine": {
        "latent_dim": 8,
        "width": 32,
        "training_steps": 3,
        "perception_steps": 3,
        "batch_size": 8,
    },
}
ESTIMATORS: dict[str, ImageModelEstimator] = {
    **{
        name: SAMPLERS.make(name, QUICK.get(name))
        for name in SAMPLERS.names()
        if SAMPLERS.find(name).kind == "images"
    },
    "DDPM": PixelDiffusionEstimator(**{**QUICK_PIXELS, "solver": "ddpm"}),
    "no classes": DVPVAEEstimator(epochs=1, conditional=False),
}
NAMES = {"DDPM": "pixel_diffusion", "no classes": "dvp_vae"}  # of those that are called otherwise
UNLABELLED = ("no classes",)
OF_A_LIKELIHOOD = ("dvp_vae", "no classes")
every_model = pytest.mark.parametrize("name", ESTIMATORS)
of_diffusers = pytest.mark.parametrize("name", ["pixel_diffusion", "vq_vae"])
that_goes_on = pytest.mark.parametrize(
    "name", ["pixel_diffusion", "vq_vae", "coarse_to_fine", "dvp_vae"]
)
Digits = tuple[Tensor, Tensor]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair(digits: LabelledImages) -> Digits:
    """Zeros and ones, in unequal numbers and mixed order."""
    picked = [(digits.labels == c).nonzero()[:m, 0] for c, m in enumerate(COUNTS)]
    rows = torch.cat(picked)[torch.randperm(sum(COUNTS), generator=source())]
    return digits.images[rows], digits.labels[rows]


@pytest.fixture(scope="module")
def fitted(pair: Digits) -> dict[str, Any]:
    return {name: each.fit(*pair, seed=0, device=CPU) for name, each in ESTIMATORS.items()}


@pytest.fixture(scope="module", params=ESTIMATORS)
def model(request: pytest.FixtureRequest, fitted: dict[str, Any]) -> ImageModel:
    return fitted[request.param]


# ---- the contract


@every_model
def test_images_are_like_those_that_it_was_fitted_on(fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    counts = [sum(COUNTS)] if name in UNLABELLED else list(COUNTS)
    assert model.counts.tolist() == counts
    assert model.n_classes == len(counts)
    assert model.device == CPU
    for n in (1, 70):
        images, labels = model.sample(n, generator=source())
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert labels.shape == (n,)


def test_labels_that_are_asked_for_are_those_that_come(model: ImageModel) -> None:
    asked = torch.tensor([1, 0, 0, 1, 1]) % model.n_classes
    _, labels = model.sample(5, asked, generator=source())
    assert torch.equal(labels, asked)


def test_the_same_seed_gives_the_same_bytes_and_another_others(model: ImageModel) -> None:
    one, again, other = (model.sample(9, generator=source(seed)) for seed in (3, 3, 4))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


@every_model
def test_the_fit_depends_on_its_arguments_alone(
    pair: Digits, name: str, tmp_path: Path, global_generators_untouched: Any
) -> None:
    for file in ("one", "two"):
        torch.rand(3)
        with global_generators_untouched():
            ESTIMATORS[name].fit(*pair, seed=1, device=CPU).save(tmp_path / file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_loaded_draws_the_same(model: ImageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = load_image_model(tmp_path / "model")
    assert type(loaded) is type(model)
    found = loaded.sample(5, generator=source())
    expected = model.sample(5, generator=source())
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert loaded.origin == model.origin
    assert torch.equal(loaded.counts, model.counts)


def test_a_file_of_something_else_is_refused(model: ImageModel, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"no network")
    with pytest.raises(InputError, match="was not written by hvrt_diffuser"):
        load_image_model(tmp_path / "model")
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="holds 'image model' where 'latent sampler' was expected"):
        load_sampler(tmp_path / "model")


def test_moving_to_where_it_is_changes_no_draw(model: ImageModel) -> None:
    moved = model.to("cpu")
    assert moved is not model
    one, other = (each.sample(4, generator=source())[0] for each in (moved, model))
    assert torch.equal(one, other)


@every_model
def test_the_origin_names_the_model_its_options_and_the_seed(
    fitted: dict[str, Any], name: str
) -> None:
    estimator = ESTIMATORS[name]
    assert fitted[name].origin == estimator.origin(0)
    assert fitted[name].origin["sampler"] == NAMES.get(name, name)


@every_model
def test_only_a_likelihood_has_a_bound(pair: Digits, fitted: dict[str, Any], name: str) -> None:
    estimator, (images, labels) = ESTIMATORS[name], (each[:20] for each in pair)
    found = estimator.bound(fitted[name], images, labels, 0)
    if name in OF_A_LIKELIHOOD:
        assert found is not None
        assert 0 < found < 2000, "nats per image, after one epoch"
        assert estimator.bound(fitted[name], images.expand(-1, 3, -1, -1), labels, 0) is None
    else:
        assert found is None


@every_model
def test_a_shortened_training_is_a_share_of_the_whole(name: str) -> None:
    entry = SAMPLERS.make(NAMES.get(name, name))
    steps = "epochs" if "epochs" in entry.model_fields else "training_steps"
    half, least = (getattr(entry.shortened(share), steps) for share in (0.5, 1e-9))
    assert half == (2 if steps == "epochs" else max(1, entry.training_steps // 2))
    assert least == 1


@every_model
def test_whether_it_learns_classes_is_known_before_a_fit(name: str) -> None:
    assert ESTIMATORS[name].labelled == (name not in UNLABELLED)


@every_model
def test_on_fewer_images_it_takes_as_many_steps(pair: Digits, name: str) -> None:
    images, labels = (each[:30] for each in pair)
    fewer = ESTIMATORS[name].as_long_on(30, 180)
    assert fewer.check(images, labels).sum() == 30
    if name in OF_A_LIKELIHOOD:
        assert (fewer.epochs, fewer.batch_size) == (1, 15)  # of one step of 128 images
        assert DVPVAEEstimator(epochs=6).as_long_on(300, 1300).epochs == 30  # of 2 for 10 steps


def test_what_cannot_be_drawn_is_refused(model: ImageModel) -> None:
    k = model.n_classes
    with pytest.raises(InputError, match="n is 0, expected 1"):
        model.sample(0, generator=source())
    asked = "expected 0, the only class there is" if k == 1 else f"expected one of 0 to {k - 1}"
    with pytest.raises(InputError, match=f"class {k} was asked for, {asked}"):
        model.sample(1, torch.tensor([k]), generator=source())


@every_model
def test_what_cannot_be_learned_is_refused(pair: Digits, name: str) -> None:
    images, labels = pair
    fit = ESTIMATORS[name].fit
    with pytest.raises(InputError, match=r"type torch\.float32 and labels of shape"):
        fit(images.float(), labels, seed=0, device=CPU)
    with pytest.raises(InputError, match=r"labels take the values \[1, 2\]"):
        fit(images, labels + 1, seed=0, device=CPU)


@of_diffusers
def test_sides_that_cannot_be_halved_are_refused(pair: Digits, name: str) -> None:
    images, labels = pair
    with pytest.raises(InputError, match="expected sides that are multiples of"):
        ESTIMATORS[name].fit(images[..., :27], labels, seed=0, device=CPU)


@of_diffusers
def test_without_diffusers_it_says_what_to_install(
    pair: Digits, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"diffusers is not installed.*hvrt-diffuser\[rivals\]"):
        ESTIMATORS[name].fit(*pair, seed=0, device=CPU)


@that_goes_on
def test_a_training_that_was_cut_off_goes_on(
    pair: Digits, fitted: dict[str, Any], name: str, tmp_path: Path
) -> None:
    class Cutting(Checkpoint):
        def write(self, *state: Any) -> None:
            super().write(*state)
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        ESTIMATORS[name].fit(*pair, seed=0, device=CPU, checkpoint=Cutting(path))
    resumed = ESTIMATORS[name].fit(*pair, seed=0, device=CPU, checkpoint=Checkpoint(path))
    expected = fitted[name].sample(4, generator=source())
    assert torch.equal(resumed.sample(4, generator=source())[0], expected[0])


# ---- diffusion of pixels


@pytest.mark.parametrize(("solver", "steps"), [("ddpm", 1000), ("ddpm", 50), ("ddim", 20)])
def test_a_solver_with_the_exact_velocity_finds_the_only_image_there_is(
    fitted: dict[str, Any], pair: Digits, solver: Any, steps: int
) -> None:
    from diffusers import DDPMScheduler

    image = pair[0][:1]
    kept = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    seen = []

    def exact(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        seen.append(int(t))
        clean = image.float() / 127.5 - 1
        noise = (x - kept[t].sqrt() * clean) / (1 - kept[t]).sqrt()
        return kept[t].sqrt() * noise - (1 - kept[t]).sqrt() * clean

    exact.size = fitted["pixel_diffusion"].network.size  # type: ignore[attr-defined]
    model = replace(fitted["pixel_diffusion"], network=exact).solved_by(solver, steps)
    found, _ = model.sample(2, generator=source())
    assert (found.int() - image.int()).abs().max() <= 1
    assert seen[0] == 999  # noise alone
    assert len(seen) == steps


@pytest.mark.parametrize("steps", [0, 3, 600, 1001])
def test_only_steps_of_one_size_can_be_taken(fitted: dict[str, Any], steps: int) -> None:
    with pytest.raises(InputError, match=f"{steps} steps were asked for, expected a divisor"):
        fitted["DDPM"].solved_by("ddim", steps)
    with pytest.raises(ValidationError):
        PixelDiffusionEstimator(steps=steps)


@that_goes_on
def test_a_training_with_other_labels_is_not_gone_on_with(
    pair: Digits, tmp_path: Path, name: str
) -> None:
    kept = Checkpoint(tmp_path / "checkpoint.safetensors")
    ESTIMATORS[name].fit(*pair, seed=0, device=CPU, checkpoint=kept)
    images, labels = pair
    with pytest.raises(InputError, match="is from a training with images"):
        ESTIMATORS[name].fit(images, labels.flip(0), seed=0, device=CPU, checkpoint=kept)


# ---- both learn


def ink(images: Tensor) -> Tensor:
    return images.float().mean(dim=(1, 2, 3)) / 255


@pytest.fixture(scope="module")
def halved(pair: Digits) -> Digits:
    """At half the size: a quarter of the time."""
    images = F.avg_pool2d(pair[0][:, :, 2:26, 2:26].float(), 2)
    return images.round().to(torch.uint8), pair[1]


@pytest.mark.parametrize(
    "estimator",
    [
        PixelDiffusionEstimator(
            channels=(16, 16),
            training_steps=300,
            batch_size=16,
            learning_rate=4e-3,
            solver="ddpm",
            steps=50,
        ),
        VQVAEEstimator(
            codes=32,
            code_dim=8,
            width=16,
            prior_width=32,
            prior_layers=2,
            training_steps=400,
            batch_size=32,
            learning_rate=4e-3,
        ),
    ],
    ids=["pixel diffusion", "VQ-VAE"],
)
@pytest.mark.slow
def test_drawn_zeros_and_ones_have_as_much_ink_as_real_ones(halved: Digits, estimator: Any) -> None:
    images, labels = halved
    model = estimator.fit(images, labels, seed=0, device=CPU)
    if isinstance(model, VQVAE):
        check_codes(model, images)
    asked = torch.arange(2).repeat_interleave(40)
    drawn, _ = model.sample(80, asked, generator=source())
    for c in range(2):
        expected = ink(images[labels == c]).mean().item()
        # The two are 0.12 apart: one answer for both would not do.
        assert ink(drawn[asked == c]).mean().item() == pytest.approx(expected, abs=0.05)


def check_codes(model: VQVAE, images: Tensor) -> None:
    """Codes lose little of an image."""
    codes = model.encode(images)
    assert codes.shape == (180, 9)
    assert len(codes.unique()) > 8, "most codes are never chosen"
    x, decoded = images.float() / 255, model.decode(codes).float() / 255
    assert (decoded - x).square().mean() < 0.25 * (x - x.mean(0)).square().mean()

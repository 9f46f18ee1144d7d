"""Labelled images in one pass, from two files."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hvrt_diffuser import HVRTDiffuser
from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import ClassifierOptions, classify, train_classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import load_model
from hvrt_diffuser.image_models import DVPVAEEstimator, ImageModel
from hvrt_diffuser.samplers import HVRTEstimator, SmoothedBootstrap, StandardNormal


@pytest.fixture(scope="module")
def sampler(latents: Tensor, digits: LabelledImages) -> SmoothedBootstrap:
    return HVRTEstimator(min_samples_leaf=5).fit(latents, digits.labels)


@pytest.fixture(scope="module")
def folder(
    autoencoder: Autoencoder,
    sampler: SmoothedBootstrap,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("models")
    autoencoder.save(folder / "autoencoder.safetensors")
    sampler.save(folder / "latent_sampler.safetensors")
    return folder


@pytest.fixture(scope="module")
def diffuser(folder: Path) -> HVRTDiffuser:
    return HVRTDiffuser.load(folder)


@pytest.fixture(scope="module")
def many(diffuser: HVRTDiffuser) -> Tensor:
    return diffuser.generate(2100, seed=0)


def test_images_have_the_shape_and_the_type_of_the_real_ones(many: Tensor) -> None:
    assert many.shape == (2100, 1, 28, 28)
    assert many.dtype == torch.uint8
    assert many.device == torch.device("cpu")


def test_images_of_a_class_have_the_shape_and_the_type_of_the_real_ones(
    diffuser: HVRTDiffuser,
) -> None:
    threes = diffuser.generate_conditional(5, class_id=3, seed=0)
    assert threes.shape == (5, 1, 28, 28)
    assert threes.dtype == torch.uint8


def test_images_are_of_the_class_that_was_asked_for(
    diffuser: HVRTDiffuser, digits: LabelledImages
) -> None:
    options = ClassifierOptions(
        width=8, steps=150, batch_size=64, learning_rate=5e-3, weight_decay=0, precision="float32"
    )
    cpu = torch.device("cpu")
    judge = train_classifier(digits.images, digits.labels, 10, options, seed=0, device=cpu)
    found = torch.stack(
        [
            classify(judge, diffuser.generate_conditional(100, class_id=c, seed=0), cpu)[1].mean(0)
            for c in range(10)
        ]
    )  # (class asked for, class found)
    assert torch.equal(found.argmax(0), torch.arange(10))
    assert found.diag().mean() > 0.5
    stream = [*diffuser.stream(1000, seed=0)]
    found = classify(judge, torch.cat([images for images, _ in stream]), cpu)[1].argmax(1)
    labels = torch.cat([labels for _, labels in stream])
    own = (found == labels).float().mean()
    assert own > 0.5
    assert (found == labels.roll(1)).float().mean() < own / 2


@pytest.mark.parametrize("n", [1, 5, 33, 1000, 1024, 1025, 2048, 2099])
def test_a_large_request_starts_with_the_images_of_a_small_one(
    diffuser: HVRTDiffuser, many: Tensor, n: int
) -> None:
    assert torch.equal(diffuser.generate(n, seed=0), many[:n])


@pytest.mark.parametrize("n", [1, 33, 1030])
def test_a_large_request_of_a_class_starts_with_the_images_of_a_small_one(
    diffuser: HVRTDiffuser, n: int
) -> None:
    large = diffuser.generate_conditional(1100, class_id=7, seed=0)
    assert torch.equal(diffuser.generate_conditional(n, class_id=7, seed=0), large[:n])


def test_the_same_seed_gives_the_same_bytes_in_any_diffuser(folder: Path, many: Tensor) -> None:
    torch.rand(3)  # what the global generator does is of no account
    assert torch.equal(HVRTDiffuser.load(folder).generate(50, seed=0), many[:50])


def test_another_seed_gives_other_images(diffuser: HVRTDiffuser, many: Tensor) -> None:
    other = diffuser.generate(50, seed=1)
    assert (other != many[:50]).flatten(1).any(1).all()


def test_images_differ_from_each_other(many: Tensor) -> None:
    assert len(many.flatten(1).unique(dim=0)) == len(many)


def test_a_stream_comes_in_pieces_with_the_labels_asked_for(diffuser: HVRTDiffuser) -> None:
    asked = torch.arange(1500) % 10
    pieces = [*diffuser.stream(1500, asked, seed=0)]
    assert max(len(images) for images, _ in pieces) <= 1024
    assert all(len(images) == len(labels) for images, labels in pieces)
    assert torch.equal(torch.cat([labels for _, labels in pieces]), asked)


def test_a_stream_makes_images_only_when_they_are_asked_for(diffuser: HVRTDiffuser) -> None:
    images, _ = next(diffuser.stream(10**8, seed=0))
    assert len(images) <= 1024


def test_no_global_generator_is_touched(
    diffuser: HVRTDiffuser, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        diffuser.generate(10, seed=0)
        diffuser.generate_conditional(10, class_id=0, seed=0)


def test_any_sampler_of_the_same_dimensions_fits(autoencoder: Autoencoder) -> None:
    prior = StandardNormal(8, torch.tensor([1, 1]))
    assert HVRTDiffuser(autoencoder, prior).generate(3, seed=0).shape == (3, 1, 28, 28)


def test_a_draw_says_where_its_images_come_from(
    diffuser: HVRTDiffuser, sampler: SmoothedBootstrap, many: Tensor
) -> None:
    drawn = diffuser.draw(40, generator=generator(0, "generation"))
    assert torch.equal(drawn.images, many[:40])
    assert drawn.latents is not None and drawn.rows is not None
    assert drawn.latents.shape == (40, 8)
    assert torch.equal(sampler.labels[drawn.rows], drawn.labels)
    prior = HVRTDiffuser(diffuser.autoencoder, StandardNormal(8, torch.tensor([1, 1])))
    assert prior.draw(4, generator=generator(0, "generation")).rows is None


def test_a_diffuser_knows_its_classes_and_its_origin(diffuser: HVRTDiffuser) -> None:
    assert diffuser.n_classes == 10
    assert diffuser.counts.tolist() == [500] * 10
    assert diffuser.origin["sampler"] == "hvrt"


# ---- a whole model


@pytest.fixture(scope="module")
def whole(digits: LabelledImages) -> ImageModel:
    cpu = torch.device("cpu")
    estimator = DVPVAEEstimator(epochs=1, conditional=False)
    return estimator.fit(digits.images[:200], digits.labels[:200], seed=0, device=cpu)


def test_a_whole_model_does_without_an_autoencoder(whole: ImageModel, tmp_path: Path) -> None:
    whole.save(tmp_path / "latent_sampler.safetensors")
    loaded = HVRTDiffuser.load(tmp_path)
    assert isinstance(loaded.sampler, ImageModel)
    assert (loaded.n_classes, loaded.origin["sampler"]) == (1, "dvp_vae")
    pieces = [*loaded.stream(1100, seed=0)]
    assert [len(images) for images, _ in pieces] == [1024, 76]
    images = torch.cat([images for images, _ in pieces])
    assert images.shape == (1100, 1, 28, 28)
    assert images.dtype == torch.uint8
    same = (each.generate(5, seed=0) for each in (HVRTDiffuser(None, whole), loaded))
    assert torch.equal(*same)
    drawn = loaded.draw(3, generator=generator(0, "generation"))
    assert (drawn.latents, drawn.rows) == (None, None)
    with pytest.raises(InputError, match="class_id is 1, expected 0 to 0"):
        loaded.generate_conditional(1, class_id=1, seed=0)


def test_a_file_tells_which_of_both_it_holds(
    whole: ImageModel, sampler: SmoothedBootstrap, tmp_path: Path
) -> None:
    whole.save(tmp_path / "whole")
    sampler.save(tmp_path / "sampler")
    assert type(load_model(tmp_path / "whole")) is type(whole)
    assert type(load_model(tmp_path / "sampler")) is SmoothedBootstrap


# ---- what is refused


def test_latents_without_an_autoencoder_are_refused(sampler: SmoothedBootstrap) -> None:
    with pytest.raises(InputError, match="hvrt draws latents and there is no autoencoder"):
        HVRTDiffuser(None, sampler)


@pytest.mark.parametrize("class_id", [-1, 10])
def test_an_unknown_class_is_refused(diffuser: HVRTDiffuser, class_id: int) -> None:
    with pytest.raises(InputError, match=f"class_id is {class_id}, expected 0 to 9"):
        diffuser.generate_conditional(3, class_id=class_id, seed=0)


@pytest.mark.parametrize("n", [0, -1])
@pytest.mark.parametrize(
    "draw",
    [
        lambda diffuser, n: diffuser.generate(n, seed=0),
        lambda diffuser, n: diffuser.generate_conditional(n, class_id=1, seed=0),
        lambda diffuser, n: diffuser.stream(n, seed=0),  # on the call, before anything is drawn
    ],
    ids=["generate", "generate_conditional", "stream"],
)
def test_no_images_are_refused(
    diffuser: HVRTDiffuser, draw: Callable[[HVRTDiffuser, int], Any], n: int
) -> None:
    with pytest.raises(InputError, match=f"n is {n}, expected 1 to 100000000"):
        draw(diffuser, n)


ARGUMENTS: dict[str, tuple[Callable[[HVRTDiffuser], Any], str]] = {
    "n of many digits": (lambda d: d.generate(2**62, seed=0), "n is 4611686018427387904, expected"),
    "n of one class": (lambda d: d.generate_conditional(2**62, class_id=0, seed=0), "n is 46"),
    "a float": (lambda d: d.generate(3.0, seed=0), "n is 3.0, expected a whole number"),
    "a float of numpy": (lambda d: d.generate(np.float64(3), seed=0), "n is .*3.0.*whole number"),
    "a truth value": (lambda d: d.generate(True, seed=0), "n is True, expected a whole number"),
    "a text": (lambda d: d.stream("3", seed=0), "n is '3', expected a whole number"),
    "a class of many digits": (
        lambda d: d.generate_conditional(3, class_id=2**70, seed=0),
        "class_id is 1180591620717411303424, expected 0 to 9",
    ),
    "a class that is a float": (
        lambda d: d.generate_conditional(3, class_id=1.0, seed=0),
        "class_id is 1.0, expected a whole number",
    ),
    "a class that is true": (
        lambda d: d.generate_conditional(3, class_id=True, seed=0),
        "class_id is True, expected a whole number",
    ),
    "labels that are a list": (lambda d: d.stream(2, [0, 1], seed=0), "labels of type list"),
    "a negative seed": (lambda d: d.generate(3, seed=-1), "seed is -1, expected 0 to"),
    "a seed of 64 bits": (lambda d: d.generate(3, seed=2**63), "seed is 9223372036854775808,"),
    "a seed that is true": (lambda d: d.generate(3, seed=True), "seed is True, expected"),
    "a seed of a text": (lambda d: d.stream(3, seed="0"), "seed is '0', expected"),
    "a device of nobody": (
        lambda d: HVRTDiffuser(d.autoencoder, d.sampler, "gpu"),
        "device 'gpu' was asked for and is not there",
    ),
    "a device that is not there": (
        lambda d: HVRTDiffuser(d.autoencoder, d.sampler, "cuda:99"),
        "device 'cuda:99' was asked for and is not there",
    ),
    "the same as a device of torch": (
        lambda d: HVRTDiffuser(d.autoencoder, d.sampler, torch.device("cuda", 99)),
        "device 'cuda:99' was asked for and is not there",
    ),
    "a sampler's device": (lambda d: d.sampler.to("gpu"), "device 'gpu' was asked for"),
    "a precision of nobody": (
        lambda d: HVRTDiffuser(d.autoencoder, d.sampler, precision="half"),  # type: ignore[arg-type]
        "precision is 'half', expected auto, float32, bfloat16",
    ),
    "a precision that is a type": (
        lambda d: HVRTDiffuser(d.autoencoder, d.sampler, precision=torch.float16),  # type: ignore[arg-type]
        "precision is torch.float16, expected",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_that_makes_no_sense_is_refused_in_one_sentence(
    diffuser: HVRTDiffuser, case: str
) -> None:
    call, said = ARGUMENTS[case]
    with pytest.raises(InputError, match=said) as caught:
        call(diffuser)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(diffuser: HVRTDiffuser, many: Tensor) -> None:
    assert torch.equal(diffuser.generate(np.int64(50), seed=np.int64(0)), many[:50])
    asked = {"class_id": np.uint8(3), "seed": np.uint8(0)}
    assert len(diffuser.generate_conditional(np.uint8(200), **asked)) == 200
    fitted = HVRTEstimator().fit(torch.randn(200, 3), seed=np.int64(4))
    assert type(fitted.origin["seed"]) is int


@pytest.mark.parametrize("seed", [-1, True, 1.0, 2**63, "0"])
def test_a_seed_that_is_none_fits_nothing(seed: Any) -> None:
    with pytest.raises(InputError, match=r"seed is .*expected"):
        HVRTEstimator().fit(torch.randn(200, 3), seed=seed)


def test_labels_of_another_number_are_refused_on_the_call(diffuser: HVRTDiffuser) -> None:
    with pytest.raises(InputError, match="one label per draw"):
        diffuser.stream(3, torch.tensor([1, 2]), seed=0)


def test_a_sampler_of_other_dimensions_is_refused(autoencoder: Autoencoder) -> None:
    with pytest.raises(InputError, match="7 dimensions and the autoencoder decodes 8"):
        HVRTDiffuser(autoencoder, StandardNormal(7, torch.tensor([1, 1])))


def test_a_sampler_of_other_weights_is_refused(
    autoencoder: Autoencoder, sampler: SmoothedBootstrap
) -> None:
    own = replace(sampler, origin=sampler.origin | {"autoencoder": autoencoder.fingerprint()})
    HVRTDiffuser(autoencoder, own)
    other = copy.deepcopy(autoencoder)
    with torch.no_grad():
        next(other.parameters())[0, 0, 0, 0] += 1e-3
    with pytest.raises(InputError, match="trained otherwise"):
        HVRTDiffuser(other, own)


@pytest.mark.parametrize("name", ["autoencoder.safetensors", "latent_sampler.safetensors"])
def test_a_missing_broken_or_wrong_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "models"
    shutil.copytree(folder, copy)
    (other,) = (path for path in folder.iterdir() if path.name != name)
    shutil.copy(other, copy / name)
    with pytest.raises(InputError, match="give the right file"):
        HVRTDiffuser.load(copy)
    (copy / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        HVRTDiffuser.load(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"{name} does not exist"):
        HVRTDiffuser.load(copy)

"""An autoencoder of a user's own: chosen by its path, saved, and read again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hvrt_diffuser.autoencoders import (
    AUTOENCODERS,
    Autoencoder,
    AutoencoderEstimator,
    ConvolutionalAutoencoder,
    TrainingOptions,
    decode_latents,
    encode_images,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.training import Row

CPU = torch.device("cpu")
PATH = f"{__name__}:ProjectionOptions"


@dataclass(frozen=True)
class Frame:
    shape: tuple[int, int, int]
    latent_dim: int
    variational: bool = False


class Projection(Autoencoder):
    form = "projection"
    described_by = Frame

    def __init__(self, architecture: Frame) -> None:
        super().__init__(architecture)
        self.axes = nn.Parameter(
            torch.empty(math.prod(architecture.shape), architecture.latent_dim)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        return (x.flatten(1) - 0.5) @ self.axes, None

    def decode(self, z: Tensor) -> Tensor:
        return 4 * (z @ self.axes.T).view(-1, *self.architecture.shape)


class ProjectionOptions(AutoencoderEstimator):
    """Directions of the largest variance."""

    latent_dim: int = 8

    def fit(self, images: Tensor, **_: Any) -> tuple[Autoencoder, list[Row]]:
        c, h, w = images.shape[1:]
        model = Projection(Frame((c, h, w), self.latent_dim)).eval()
        x = images.flatten(1).float() / 255 - 0.5
        model.axes.data = torch.linalg.svd(x, full_matrices=False).Vh[: self.latent_dim].T
        return model, [{"epoch": 1, "train_loss": 0.0}]


def test_an_own_autoencoder_is_chosen_trained_saved_and_read(
    digits: LabelledImages, tmp_path: Path
) -> None:
    images = digits.images[:300]
    options = AUTOENCODERS.make(PATH, {"latent_dim": 20})
    model, _ = options.fit(images, seed=0, device=CPU)
    model.save(tmp_path / "file")
    read = Autoencoder.load(tmp_path / "file")
    assert isinstance(read, Projection)
    assert read.architecture == model.architecture == Frame((1, 28, 28), 20)
    assert read.fingerprint() == model.fingerprint()
    latents = encode_images(read, images, CPU)[0]
    made = decode_latents(read, latents, CPU).float()
    error = (made - images).square().mean()
    assert error < 0.5 * (images.float().mean(0) - images).square().mean()


def test_the_own_network_is_chosen_by_its_name(digits: LabelledImages) -> None:
    options = AUTOENCODERS.make("convolutional", {"epochs": 1, "width": 4})
    assert options == TrainingOptions(epochs=1, width=4)
    model, history = options.fit(digits.images[:200], seed=0, device=CPU)
    assert isinstance(model, ConvolutionalAutoencoder)
    assert model.architecture.latent_dim == TrainingOptions().latent_dim
    assert len(history) == 1


def test_a_file_of_a_class_that_is_not_imported_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {}, {"kind": "autoencoder", "form": "x", "architecture": {}})
    with pytest.raises(InputError, match=r"of form 'x', expected one of convolutional.*import the"):
        Autoencoder.load(tmp_path / "file")


def test_two_classes_of_one_form_are_refused() -> None:
    with pytest.raises(TypeError, match="two autoencoders have the form convolutional"):
        type("Other", (ConvolutionalAutoencoder,), {})
    assert Autoencoder.forms["convolutional"] is ConvolutionalAutoencoder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convolutionl", "did you mean convolutional"),
        ("nowhere.to:Be", "cannot be imported"),
        (f"{__name__}:Frame", "lacks fit, model_fields"),
    ],
)
def test_an_unknown_autoencoder_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AUTOENCODERS.find(name)

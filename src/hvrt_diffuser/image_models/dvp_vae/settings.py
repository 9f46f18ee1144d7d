"""The settings of the paper, and smaller ones that two cores can train."""

from __future__ import annotations

from typing import NamedTuple

from hvrt_diffuser.image_models.dvp_vae.model import Architecture
from hvrt_diffuser.image_models.dvp_vae.training import TrainingOptions

__all__ = ["REDUCED_MNIST", "SETTINGS", "Setting"]


class Setting(NamedTuple):
    """A network and its training.

    Attributes:
        architecture: of the network.
        training: how it is trained.
        steps: of the diffusion, to draw.
    """

    architecture: Architecture
    training: TrainingOptions
    steps: int


REDUCED_MNIST = Setting(
    Architecture(
        shape=(1, 28, 28),
        scales=((14, 2), (7, 2)),
        channels=16,
        multiplier=1.0,
        blocks=1,
        latent_channels=1,
        strided_stem=True,
        pseudoinput_size=3,
        gamma=(-6.0, 7.0),
        denoiser_width=16,
        denoiser_blocks=2,
        components=0,
    ),
    TrainingOptions(epochs=4),
    steps=25,
)

# 91 images a second of one thread: 20 epochs of 50,000 take two cores two hours. Latents at the
# image's own size would take three times as long.
_REDUCED_COLOUR = Setting(
    Architecture(
        shape=(3, 32, 32),
        scales=((16, 3), (8, 3)),
        channels=32,
        multiplier=1.0,
        blocks=1,
        latent_channels=3,
        strided_stem=True,
        pseudoinput_size=5,
        gamma=(-10.0, 7.0),
        denoiser_width=32,
        denoiser_blocks=2,
        components=5,
    ),
    TrainingOptions(epochs=20, learning_rate=3e-3, last_learning_rate=1e-4, clip=150),
    steps=25,
)

# The width and depth of the denoiser are not published.
_GREY = Architecture(
    shape=(1, 28, 28),
    scales=((14, 4), (7, 4)),
    channels=32,
    multiplier=1.0,
    blocks=3,
    latent_channels=1,
    strided_stem=False,
    pseudoinput_size=7,
    gamma=(-6.0, 7.0),
    denoiser_width=16,
    denoiser_blocks=2,
    components=0,
)

SETTINGS = {
    "reduced_mnist": REDUCED_MNIST,
    "reduced_cifar10": _REDUCED_COLOUR,
    "mnist": Setting(_GREY, TrainingOptions(epochs=300, batch_size=250), steps=25),
    "omniglot": Setting(
        Architecture(**{**vars(_GREY), "channels": 80, "multiplier": 0.5, "pseudoinput_size": 5}),
        TrainingOptions(epochs=500, batch_size=250, last_learning_rate=1e-4, clip=2),
        steps=50,
    ),
    "cifar10": Setting(
        Architecture(
            shape=(3, 32, 32),
            scales=((32, 10), (16, 8), (8, 6), (4, 4)),
            channels=128,
            multiplier=0.75,
            blocks=4,
            latent_channels=3,
            strided_stem=False,
            pseudoinput_size=7,
            gamma=(-10.0, 7.0),
            denoiser_width=64,
            denoiser_blocks=4,
            components=10,
        ),
        TrainingOptions(epochs=3000, learning_rate=3e-3, last_learning_rate=1e-4, clip=150),
        steps=25,
    ),
}

"""Images of noise and a model that has learnt nothing: what scale is measured by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Architecture, Autoencoder, ConvolutionalAutoencoder
from hvrt_diffuser.common.seeding import borrowed_seed, generator
from hvrt_diffuser.samplers import StandardNormal

__all__ = [
    "AT_ONCE",
    "CLASSES",
    "LATENT_DIM",
    "SHAPE",
    "autoencoder",
    "batches",
    "write_model",
]

SHAPE = (3, 64, 64)
CLASSES = ("even", "odd")
LATENT_DIM = 64
AT_ONCE = 1024


def batches(n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images of noise uint8 (m, 3, 64, 64) and labels int64 (m,), n in all."""
    source = generator(0, "scale", "noise")
    for start in range(0, n, AT_ONCE):
        m = min(AT_ONCE, n - start)
        yield (
            torch.randint(0, 256, (m, *SHAPE), generator=source, dtype=torch.uint8),
            torch.arange(start, start + m) % len(CLASSES),
        )


def autoencoder() -> Autoencoder:
    """With random weights."""
    with borrowed_seed(0, "scale", "weights"):
        network = ConvolutionalAutoencoder(Architecture(SHAPE, LATENT_DIM, width=32, depth=4))
    return network.eval()


def write_model(folder: Path) -> None:
    """What draws as many of either class."""
    network, half = autoencoder(), torch.tensor([1, 1])
    network.save(folder / "autoencoder.safetensors")
    StandardNormal(LATENT_DIM, half).save(folder / "latent_sampler.safetensors")

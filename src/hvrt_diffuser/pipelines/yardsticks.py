"""What nodes that compare samplers measure by."""

from __future__ import annotations

from typing import Protocol

import pandas as pd
import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier import Yardstick

__all__ = ["Size", "yardstick_of"]


class Size(Protocol):
    """How much is measured."""

    @property
    def n(self) -> int:
        """Draws of a sampler."""

    @property
    def compared(self) -> int:
        """Of these, draws whose nearest training images are looked for."""


def yardstick_of(
    images: tuple[LabelledImages, LabelledImages],
    latents: tuple[pd.DataFrame, pd.DataFrame],
    autoencoder: Autoencoder,
    judge: Classifier,
    size: Size,
    device: torch.device,
) -> Yardstick:
    """Of images to train and to test on, and the tables of their latents."""
    (train, test), (seen, held_out) = images, latents
    return Yardstick(
        (train, table_to_latents(seen)[0]),
        (test, table_to_latents(held_out)[0]),
        autoencoder,
        judge,
        n=size.n,
        compared=size.compared,
        device=device,
    )

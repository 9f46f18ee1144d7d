"""Nodes of ``latent_encoding``."""

from __future__ import annotations

import pandas as pd

from hvrt_diffuser.autoencoders import Autoencoder, encode_augmented, encode_images
from hvrt_diffuser.catalog.latents import latents_to_table, versions_to_table
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.latent_encoding.parameters import LatentEncodingOptions

__all__ = ["encode", "encode_changed"]


def encode(
    autoencoder: Autoencoder, images: LabelledImages, options: LatentEncodingOptions
) -> pd.DataFrame:
    """The latent of each image, one scalar column per dimension, and its label."""
    device = resolve_device(options.device or "auto")
    latents, _ = encode_images(autoencoder, images.images, device)
    table = latents_to_table(latents, images.labels)
    table.attrs["autoencoder"] = autoencoder.fingerprint()  # parquet keeps it
    return table


def encode_changed(
    autoencoder: Autoencoder,
    images: LabelledImages,
    options: LatentEncodingOptions,
    seed: int,
) -> pd.DataFrame:
    """The latents of augmented versions of each image, one version after the other."""
    latents = encode_augmented(
        autoencoder,
        images.images,
        options.augmentation,
        seed=seed,
        device=resolve_device(options.device or "auto"),
    )
    table = versions_to_table(latents, images.labels, autoencoder.architecture.latent_dim)
    table.attrs["autoencoder"] = autoencoder.fingerprint()
    return table

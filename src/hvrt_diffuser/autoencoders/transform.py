"""From images to latents and back, in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders.base import Autoencoder
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.scratch import scratch, scratch_numbers
from hvrt_diffuser.data.augmentation import Augmentation

__all__ = ["decode_latents", "encode_augmented", "encode_images", "to_uint8"]

BATCH_SIZE = 256
# Below this many rows the matrix product of a few rows takes another path and rounds differently,
# so a shorter batch is filled up: an image's bytes do not depend on how many are made at once.
MIN_ROWS = 32


def to_uint8(x: Tensor) -> Tensor:
    """Round images in [0, 1] to uint8."""
    return (x * 255).round_().to(torch.uint8)


@torch.inference_mode()
def encode_images(
    model: Autoencoder, images: Tensor, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Encode uint8 images (n, c, h, w), batch by batch.

    Returns:
        On the CPU, many in a mapped file, latents float32 (n, d), and for a VAE the standard
        deviations of its posterior (n, d), else None; a VAE's latent is the mean of its posterior.

    Raises:
        InputError: the images do not have the shape that the network was built for.
    """
    expected = model.architecture.shape
    if tuple(images.shape[1:]) != expected:
        raise InputError(
            f"the autoencoder was trained on images of shape {expected} and was given "
            f"{tuple(images.shape[1:])}: train it on these images, or give it its own"
        )
    model = model.to(device).eval()
    n, d = len(images), model.architecture.latent_dim
    means = scratch_numbers(n, d)
    deviations = scratch_numbers(n, d) if model.architecture.variational else None
    for start in range(0, n, BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        part = slice(start, start + len(batch))
        mean, log_variance = model.encode(_filled(batch).to(device).float() / 255)
        means[part] = mean[: len(batch)]
        if deviations is not None and log_variance is not None:
            deviations[part] = torch.exp(0.5 * log_variance[: len(batch)])
    return means, deviations


def encode_augmented(
    model: Autoencoder,
    images: Tensor,
    augmentation: Augmentation,
    *,
    seed: int,
    device: torch.device,
) -> Tensor | None:
    """Encode changed versions of uint8 images (n, c, h, w).

    Returns:
        On the CPU, latents float32 (augmentation.copies, n, d); None for no copies.
    """
    found = [
        encode_images(model, version, device)[0]
        for version in augmentation.versions(images, seed=seed)
    ]
    return torch.stack(found) if found else None


@torch.inference_mode()
def decode_latents(
    model: Autoencoder,
    latents: Tensor,
    device: torch.device,
    precision: Precision = "float32",
) -> Tensor:
    """Decode latents (n, d) to uint8 images (n, c, h, w) on the CPU, in one pass.

    Args:
        model: the network.
        latents: as it encodes them.
        device: where to decode.
        precision: of the convolutions; bfloat16 is faster where the hardware has it, and moves a
            pixel by a few of its 255 steps at most.

    Raises:
        InputError: the latents do not have the dimensions of the network, or are not finite.
    """
    d = model.architecture.latent_dim
    if latents.ndim != 2 or latents.shape[1] != d:
        raise InputError(
            f"latents of shape {tuple(latents.shape)} were given to an autoencoder with latent_dim "
            f"{d}: fit the sampler on latents of this autoencoder"
        )
    if not torch.isfinite(latents).all():
        raise InputError(
            "latents to decode hold NaN or infinite values, expected finite ones: fit the sampler "
            "again on finite latents"
        )
    model = model.to(device).eval()
    images = scratch((len(latents), *model.architecture.shape))
    for start in range(0, len(latents), BATCH_SIZE):
        batch = _filled(latents[start : start + BATCH_SIZE]).to(device, torch.float32)
        with autocast(device, precision):
            logits = model.decode(batch)
        decoded = logits.float().sigmoid_()
        images[start : start + BATCH_SIZE] = to_uint8(decoded[: len(latents) - start])
    return images


def _filled(batch: Tensor) -> Tensor:
    """``batch`` with rows of zeros added up to ``MIN_ROWS``."""
    missing = MIN_ROWS - len(batch)
    if missing <= 0:
        return batch
    return torch.cat([batch, batch.new_zeros((missing, *batch.shape[1:]))])

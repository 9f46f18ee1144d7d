"""The bound of the likelihood of binary images that a VAE gives."""

from __future__ import annotations

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders.base import Autoencoder
from hvrt_diffuser.autoencoders.objective import (
    kl_to_standard_normal,
    negative_log_likelihood,
    reparameterise,
)
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.binary import binary_images

__all__ = ["negative_elbo"]

BATCH_SIZE = 500


@torch.inference_mode()
def negative_elbo(
    model: Autoencoder, images: Tensor, *, seed: int, device: torch.device
) -> float | None:
    """-ELBO of binarised images with one draw each, in nats per image; None for colour.

    Kingma & Welling 2014, arXiv 1312.6114, Equation 7; it bounds the likelihood whatever the
    weight that the KL term had in training, and whatever the posterior is made from. That is the
    grey image: binarised ones are not what the encoder was trained on.

    Args:
        model: a VAE.
        images: uint8 (n, c, h, w).
        seed: of posterior draws.
        device: where to compute.
    """
    if images.shape[1] != 1:
        return None
    source = generator(seed, "rivals", "posterior", device=device)
    total = 0.0
    binary = binary_images(images).to(device).split(BATCH_SIZE)
    for grey, x in zip(images.to(device).split(BATCH_SIZE), binary, strict=True):
        mean, log_variance = model.encode(grey.float() / 255)
        assert log_variance is not None
        z = reparameterise(mean, log_variance, source)
        likelihood = negative_log_likelihood(model.decode(z), x, "bernoulli")
        total += len(x) * (likelihood + kl_to_standard_normal(mean, log_variance)).item()
    return total / len(images)

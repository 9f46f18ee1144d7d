"""Whole models of images: what a latent sampler and an autoencoder are compared with."""

from hvrt_diffuser.generators.pixel_diffusion import PixelDiffusion, PixelDiffusionEstimator
from hvrt_diffuser.generators.protocol import ImageGenerator
from hvrt_diffuser.generators.vq_vae import VQVAE, VQVAEEstimator

__all__ = [
    "VQVAE",
    "ImageGenerator",
    "PixelDiffusion",
    "PixelDiffusionEstimator",
    "VQVAEEstimator",
]

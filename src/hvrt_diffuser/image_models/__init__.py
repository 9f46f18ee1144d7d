"""Whole models of images: what a latent sampler and an autoencoder are compared with."""

from hvrt_diffuser.image_models.pixel_diffusion import PixelDiffusion, PixelDiffusionEstimator
from hvrt_diffuser.image_models.protocol import ImageGenerator
from hvrt_diffuser.image_models.vq_vae import VQVAE, VQVAEEstimator

__all__ = [
    "VQVAE",
    "ImageGenerator",
    "PixelDiffusion",
    "PixelDiffusionEstimator",
    "VQVAEEstimator",
]

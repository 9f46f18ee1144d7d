"""Whole models of images, each known by a name: they need neither sampler nor autoencoder."""

from hvrt_diffuser.image_models.coarse_to_fine import CoarseToFine, CoarseToFineEstimator
from hvrt_diffuser.image_models.dvp_vae import DVPVAEEstimator, DVPVAEGenerator
from hvrt_diffuser.image_models.pixel_diffusion import PixelDiffusion, PixelDiffusionEstimator
from hvrt_diffuser.image_models.protocol import ImageModel, ImageModelEstimator, load_image_model
from hvrt_diffuser.image_models.vq_vae import VQVAE, VQVAEEstimator

__all__ = [
    "VQVAE",
    "CoarseToFine",
    "CoarseToFineEstimator",
    "DVPVAEEstimator",
    "DVPVAEGenerator",
    "ImageModel",
    "ImageModelEstimator",
    "PixelDiffusion",
    "PixelDiffusionEstimator",
    "VQVAEEstimator",
    "load_image_model",
]

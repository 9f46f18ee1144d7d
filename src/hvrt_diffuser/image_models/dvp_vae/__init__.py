"""DVP-VAE: a hierarchical VAE with a diffusion-based VampPrior (arXiv 2412.01373)."""

from hvrt_diffuser.image_models.dvp_vae.bounds import Bounds, bounds
from hvrt_diffuser.image_models.dvp_vae.generator import DVPVAEEstimator, DVPVAEGenerator
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE, Architecture
from hvrt_diffuser.image_models.dvp_vae.settings import REDUCED_MNIST, SETTINGS, Setting
from hvrt_diffuser.image_models.dvp_vae.training import TrainingOptions, train

__all__ = [
    "DVPVAE",
    "REDUCED_MNIST",
    "SETTINGS",
    "Architecture",
    "Bounds",
    "DVPVAEEstimator",
    "DVPVAEGenerator",
    "Setting",
    "TrainingOptions",
    "bounds",
    "train",
]

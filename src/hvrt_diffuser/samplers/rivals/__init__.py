"""The priors on latents that others use, as samplers beside HVRT."""

from hvrt_diffuser.samplers.rivals.diffusion import DiffusionEstimator, LatentDiffusion
from hvrt_diffuser.samplers.rivals.interpolation import InterpolationEstimator, LatentInterpolation
from hvrt_diffuser.samplers.rivals.kernel_density import KernelDensityEstimator
from hvrt_diffuser.samplers.rivals.latent_vae import LatentVAE, LatentVAEEstimator
from hvrt_diffuser.samplers.rivals.mixture import LatentMixture, MixtureEstimator
from hvrt_diffuser.samplers.rivals.normalising_flow import (
    LatentNormalisingFlow,
    NormalisingFlowEstimator,
)

__all__ = [
    "DiffusionEstimator",
    "InterpolationEstimator",
    "KernelDensityEstimator",
    "LatentDiffusion",
    "LatentInterpolation",
    "LatentMixture",
    "LatentNormalisingFlow",
    "LatentVAE",
    "LatentVAEEstimator",
    "MixtureEstimator",
    "NormalisingFlowEstimator",
]

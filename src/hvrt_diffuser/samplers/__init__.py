"""Samplers of latents. They know arrays alone: no images, no files but their own."""

from hvrt_diffuser.samplers.baselines import StandardNormal, fit_posterior
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.diffusion import DiffusionEstimator, LatentDiffusion
from hvrt_diffuser.samplers.flow import LatentFlow
from hvrt_diffuser.samplers.flow_training import FlowEstimator, FlowMapEstimator, fit_augmented
from hvrt_diffuser.samplers.hvrt import HVRTEstimator
from hvrt_diffuser.samplers.interpolation import InterpolationEstimator, LatentInterpolation
from hvrt_diffuser.samplers.kernel_density import KernelDensityEstimator
from hvrt_diffuser.samplers.kernels import CopulaKernel, CovarianceKernel, ProductKernel
from hvrt_diffuser.samplers.latent_vae import LatentVAE, LatentVAEEstimator
from hvrt_diffuser.samplers.mixture import LatentMixture, MixtureEstimator
from hvrt_diffuser.samplers.normalising_flow import (
    LatentNormalisingFlow,
    NormalisingFlowEstimator,
)
from hvrt_diffuser.samplers.partition import PartitionOptions
from hvrt_diffuser.samplers.protocol import (
    Draws,
    LatentSampler,
    SamplerEstimator,
)
from hvrt_diffuser.samplers.smoothing import k_means_leaves, preserve_variance, smooth
from hvrt_diffuser.samplers.storage import load_sampler

__all__ = [
    "CopulaKernel",
    "CovarianceKernel",
    "DiffusionEstimator",
    "Draws",
    "FlowEstimator",
    "FlowMapEstimator",
    "HVRTEstimator",
    "InterpolationEstimator",
    "KernelDensityEstimator",
    "LatentDiffusion",
    "LatentFlow",
    "LatentInterpolation",
    "LatentMixture",
    "LatentNormalisingFlow",
    "LatentSampler",
    "LatentVAE",
    "LatentVAEEstimator",
    "MixtureEstimator",
    "Neighbourhoods",
    "NormalisingFlowEstimator",
    "PartitionOptions",
    "ProductKernel",
    "SamplerEstimator",
    "SmoothedBootstrap",
    "StandardNormal",
    "fit_augmented",
    "fit_posterior",
    "k_means_leaves",
    "load_sampler",
    "preserve_variance",
    "smooth",
]

"""Samplers of latents. They know arrays alone: no images, no files but their own."""

from hvrt_diffuser.samplers.baselines import StandardNormal, fit_posterior
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.flow import LatentFlow
from hvrt_diffuser.samplers.flow_training import FlowEstimator, FlowMapEstimator, fit_augmented
from hvrt_diffuser.samplers.hvrt import HVRTEstimator
from hvrt_diffuser.samplers.kernels import CopulaKernel, CovarianceKernel, ProductKernel
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
    "Draws",
    "FlowEstimator",
    "FlowMapEstimator",
    "HVRTEstimator",
    "LatentFlow",
    "LatentSampler",
    "Neighbourhoods",
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

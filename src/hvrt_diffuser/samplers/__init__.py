"""Samplers of latents. They know arrays alone: no images, no files but their own."""

from hvrt_diffuser.samplers.baselines import StandardNormal, fit_posterior
from hvrt_diffuser.samplers.bootstrap import Draws, Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.hvrt import HVRTEstimator
from hvrt_diffuser.samplers.kernels import CopulaKernel, CovarianceKernel, ProductKernel
from hvrt_diffuser.samplers.partition import PartitionOptions
from hvrt_diffuser.samplers.protocol import (
    LatentSampler,
    SamplerEstimator,
    check_requested_labels,
)
from hvrt_diffuser.samplers.storage import load_sampler

__all__ = [
    "CopulaKernel",
    "CovarianceKernel",
    "Draws",
    "HVRTEstimator",
    "LatentSampler",
    "Neighbourhoods",
    "PartitionOptions",
    "ProductKernel",
    "SamplerEstimator",
    "SmoothedBootstrap",
    "StandardNormal",
    "check_requested_labels",
    "fit_posterior",
    "load_sampler",
]

"""Samplers of latents. They know arrays alone: no images, no files but their own."""

from hvrt_diffuser.samplers.baselines import StandardNormal, fit_posterior
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.hvrt import HVRTOptions, fit_hvrt
from hvrt_diffuser.samplers.protocol import LatentSampler, check_requested_labels

__all__ = [
    "HVRTOptions",
    "LatentSampler",
    "Neighbourhoods",
    "SmoothedBootstrap",
    "StandardNormal",
    "check_requested_labels",
    "fit_hvrt",
    "fit_posterior",
]

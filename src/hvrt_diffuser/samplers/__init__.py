"""Samplers of latents, each known by a name. They know arrays alone: no images, no autoencoder."""

from hvrt_diffuser.samplers.baselines import (
    PosteriorEstimator,
    StandardNormal,
    StandardNormalEstimator,
)
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.consistency import ConsistencyEstimator, LatentConsistency
from hvrt_diffuser.samplers.diffusion import DiffusionEstimator, LatentDiffusion
from hvrt_diffuser.samplers.energy import ClassEnergy, ClassEnergyEstimator
from hvrt_diffuser.samplers.flow import LatentFlow
from hvrt_diffuser.samplers.flow_map import FlowMapEstimator
from hvrt_diffuser.samplers.flow_training import FlowEstimator
from hvrt_diffuser.samplers.hvrt import HVRTEstimator
from hvrt_diffuser.samplers.interpolation import InterpolationEstimator, LatentInterpolation
from hvrt_diffuser.samplers.kernel_density import KernelDensityEstimator
from hvrt_diffuser.samplers.kernels import CopulaKernel, CovarianceKernel, ProductKernel
from hvrt_diffuser.samplers.latent_vae import LatentVAE, LatentVAEEstimator
from hvrt_diffuser.samplers.matched_flow_map import MatchedFlowMapEstimator
from hvrt_diffuser.samplers.mixture import LatentMixture, MixtureEstimator
from hvrt_diffuser.samplers.normalising_flow import (
    LatentNormalisingFlow,
    NormalisingFlowEstimator,
)
from hvrt_diffuser.samplers.protocol import (
    Draws,
    LatentSampler,
    SamplerEstimator,
    load_sampler,
)
from hvrt_diffuser.samplers.semi_parametric import SemiParametric, SemiParametricEstimator
from hvrt_diffuser.samplers.smoothing import SmoothedBootstrapEstimator
from hvrt_diffuser.samplers.transformer_flow import (
    LatentTransformerFlow,
    TransformerFlowEstimator,
)

__all__ = [
    "ClassEnergy",
    "ClassEnergyEstimator",
    "ConsistencyEstimator",
    "CopulaKernel",
    "CovarianceKernel",
    "DiffusionEstimator",
    "Draws",
    "FlowEstimator",
    "FlowMapEstimator",
    "HVRTEstimator",
    "InterpolationEstimator",
    "KernelDensityEstimator",
    "LatentConsistency",
    "LatentDiffusion",
    "LatentFlow",
    "LatentInterpolation",
    "LatentMixture",
    "LatentNormalisingFlow",
    "LatentSampler",
    "LatentTransformerFlow",
    "LatentVAE",
    "LatentVAEEstimator",
    "MatchedFlowMapEstimator",
    "MixtureEstimator",
    "Neighbourhoods",
    "NormalisingFlowEstimator",
    "PosteriorEstimator",
    "ProductKernel",
    "SamplerEstimator",
    "SemiParametric",
    "SemiParametricEstimator",
    "SmoothedBootstrap",
    "SmoothedBootstrapEstimator",
    "StandardNormal",
    "StandardNormalEstimator",
    "TransformerFlowEstimator",
    "load_sampler",
]

"""Parameters of ``hvrt_fitting``."""

from __future__ import annotations

from typing import Literal

from hvrt_diffuser.samplers import FlowEstimator, FlowMapEstimator, HVRTEstimator

__all__ = ["FlowOptions", "HVRTFittingOptions", "SamplerName", "choose_estimator"]

SamplerName = Literal["hvrt", "latent_flow", "flow_map"]


class HVRTFittingOptions(HVRTEstimator):
    """How the latents are partitioned, and the kernel in the leaves."""


class FlowOptions(FlowMapEstimator):
    """How a latent flow is trained, and distilled to its map."""


def choose_estimator(
    name: SamplerName, hvrt: HVRTFittingOptions, flow: FlowOptions
) -> HVRTEstimator | FlowEstimator:
    """What fits the sampler of a name."""
    if name == "latent_flow":
        return FlowEstimator(**flow.model_dump(include=set(FlowEstimator.model_fields)))
    return hvrt if name == "hvrt" else flow

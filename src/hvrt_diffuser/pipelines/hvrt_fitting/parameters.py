"""Parameters of ``hvrt_fitting``."""

from __future__ import annotations

from typing import Literal

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.samplers import FlowEstimator, FlowMapEstimator, HVRTEstimator, LatentSampler

__all__ = [
    "FlowOptions",
    "HVRTFittingOptions",
    "SamplerName",
    "check_sampler",
    "choose_estimator",
]

SamplerName = Literal["hvrt", "latent_flow", "flow_map"]


class HVRTFittingOptions(HVRTEstimator):
    """How the latents are partitioned, and the kernel in the leaves."""


class FlowOptions(FlowMapEstimator):
    """How a latent flow is trained, and distilled to its map."""


NAMES: dict[SamplerName, str] = {
    "hvrt": "HVRT",
    "latent_flow": "latent flow",
    "flow_map": "flow map",
}


def check_sampler(
    sampler: LatentSampler, name: SamplerName, estimator: HVRTEstimator | FlowEstimator
) -> None:
    """Check that a sampler was fitted as the parameters say.

    Args:
        sampler: as it was left by an earlier run.
        name: of the parameters.
        estimator: of the parameters.

    Raises:
        InputError: it was not; names the first difference.
    """
    wanted = {"sampler": NAMES[name], **estimator.model_dump(mode="json")}
    for option, value in wanted.items():
        found = sampler.origin.get(option)
        if found != value:
            raise InputError(
                f"the sampler that is there was fitted with {option} {found}, while the parameters "
                f"ask for {option} {value}: give the parameters that it was fitted with, or run "
                "hvrt_fitting and generation again"
            )


def choose_estimator(
    name: SamplerName, hvrt: HVRTFittingOptions, flow: FlowOptions
) -> HVRTEstimator | FlowEstimator:
    """What fits the sampler of a name."""
    if name == "latent_flow":
        return FlowEstimator(**flow.model_dump(include=set(FlowEstimator.model_fields)))
    return hvrt if name == "hvrt" else flow

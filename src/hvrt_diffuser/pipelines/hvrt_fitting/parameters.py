"""Parameters of ``hvrt_fitting``."""

from __future__ import annotations

from hvrt_diffuser.samplers import FlowMapEstimator, HVRTEstimator

__all__ = ["FlowOptions", "HVRTFittingOptions"]


class HVRTFittingOptions(HVRTEstimator):
    """How the latents are partitioned, and the kernel in the leaves."""


class FlowOptions(FlowMapEstimator):
    """How a latent flow is trained, and distilled to its map."""

"""Parameters of ``hvrt_fitting``."""

from __future__ import annotations

from hvrt_diffuser.samplers import HVRTEstimator

__all__ = ["HVRTFittingOptions"]


class HVRTFittingOptions(HVRTEstimator):
    """How the latents are partitioned, and the kernel in the leaves."""

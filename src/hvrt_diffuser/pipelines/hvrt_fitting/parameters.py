"""Parameters of ``hvrt_fitting``."""

from __future__ import annotations

from hvrt_diffuser.samplers import HVRTOptions

__all__ = ["HVRTFittingOptions"]


class HVRTFittingOptions(HVRTOptions):
    """How the latents are partitioned, and the kernel in the leaves."""

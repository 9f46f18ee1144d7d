"""Parameters of ``latent_encoding``."""

from __future__ import annotations

from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["LatentEncodingOptions"]


class LatentEncodingOptions(DeviceOptions):
    """Where images are encoded."""

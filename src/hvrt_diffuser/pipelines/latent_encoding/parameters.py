"""Parameters of ``latent_encoding``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["LatentEncodingOptions"]


class LatentEncodingOptions(DeviceOptions):
    """Which images are encoded, and where."""

    augmentation: Augmentation = Field(
        Augmentation(),
        description="of training images; a flow below strength 1 starts from these latents, too",
    )

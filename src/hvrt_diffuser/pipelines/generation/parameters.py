"""Parameters of ``generation``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import SamplerName
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["GenerationOptions"]


class GenerationOptions(DeviceOptions):
    """What is generated."""

    sampler: SamplerName = Field(
        description="of the latents: hvrt, a kernel around training latents; latent_flow, a "
        "network asked several times; flow_map, the same network distilled to one evaluation"
    )
    n: int = Field(ge=1, description="images")
    class_id: int | None = Field(
        ge=0, description="of every image; null draws all classes in their real proportions"
    )
    precision: Precision = Field(
        description="of the decoder; bfloat16 is faster where the hardware has it, which auto asks"
    )
    seed: int | None = Field(ge=0, description="of the images; null is the run's seed")

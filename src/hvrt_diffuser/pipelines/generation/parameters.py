"""Parameters of ``generation``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["GenerationOptions"]


class GenerationOptions(DeviceOptions):
    """What is generated."""

    sampler: str = Field(
        "hvrt",
        description="what draws: a registered name, or the path of a class; its options are those "
        "of samplers.<name>",
    )
    n: int = Field(2000, ge=1, description="images")
    class_id: int | None = Field(
        None, ge=0, description="of every image; null draws all classes in their real proportions"
    )
    precision: Precision = Field(
        "float32",
        description="of the decoder; bfloat16 is faster where the hardware has it, which auto asks",
    )
    seed: int | None = Field(None, ge=0, description="of the images; null is the run's seed")

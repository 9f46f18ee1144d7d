"""Parameters of ``sampler_frontier``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hvrt_diffuser.frontier import ApproachName
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["FrontierOptions"]

Strength = Annotated[float, Field(ge=0)]


class FrontierOptions(DeviceOptions):
    """Which samplers are compared, and on how many draws."""

    n: int = Field(ge=2, description="draws of a point, and training images of its classifier")
    compared: int = Field(ge=1, description="of these, draws whose nearest images are looked for")
    seeds: int = Field(ge=2, description="repetitions, with fits of their own")
    points: dict[ApproachName, tuple[Strength, ...]] = Field(
        min_length=1, description="strengths of each sampler; none leaves it out"
    )

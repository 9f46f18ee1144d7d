"""Parameters of ``sampler_frontier``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from hvrt_diffuser.frontier import APPROACHES, WAY, ApproachName
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

    @field_validator("points")
    @classmethod
    def _within_the_way(
        cls, points: dict[ApproachName, tuple[Strength, ...]]
    ) -> dict[ApproachName, tuple[Strength, ...]]:
        for name, strengths in points.items():
            for strength in strengths:
                if APPROACHES[name].strength == WAY and not 0 < strength <= 1:
                    raise ValueError(
                        f"{name} has a strength of {strength:g}, expected above 0 and at most 1"
                    )
                if name == "flow_map_augmented" and strength == 1:
                    raise ValueError(f"{name} has a strength of 1, which starts from no image")
        return points

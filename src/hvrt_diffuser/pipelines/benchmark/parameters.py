"""Parameters of ``benchmark``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.pipelines.options import DeviceOptions
from hvrt_diffuser.rivals import PriorName

__all__ = ["BenchmarkOptions"]


class BenchmarkOptions(DeviceOptions):
    """Which rivals are compared, and on how many draws."""

    n: int = Field(ge=6, description="draws of a rival, and training images of its classifier")
    compared: int = Field(ge=1, description="of these, draws whose nearest images are looked for")
    seeds: int = Field(ge=2, description="repetitions, with fits of their own")
    components: int = Field(ge=1, description="of the Gaussian mixtures")
    rivals: tuple[PriorName, ...] = Field(min_length=1, description="who is compared")

"""Parameters of ``phase1``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["PhaseOptions"]


class PhaseOptions(DeviceOptions):
    """How the samplers of a phase are measured."""

    n: int = Field(ge=2, description="draws of a row, and training images of its classifiers")
    compared: int = Field(ge=1, description="of these, draws whose nearest images are looked for")
    seeds: int = Field(ge=1, description="sets of draws of a row, each with a classifier")

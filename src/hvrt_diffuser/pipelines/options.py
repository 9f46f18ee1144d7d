"""What the parameters of all pipelines have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from hvrt_diffuser.common.devices import DeviceName

__all__ = ["DeviceOptions", "Options"]


class Options(BaseModel):
    """A block of parameters: an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceOptions(Options):
    """A block of parameters with a device of its own."""

    device: DeviceName | None = Field(description="null is the run's device")

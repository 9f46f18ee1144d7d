"""Parameters of ``hvrt_fitting``: the sampler that ``generation.sampler`` names."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import SAMPLERS

__all__ = ["ChosenSampler"]


class ChosenSampler(Options):
    """The sampler that was chosen; put together from ``generation.sampler`` and ``samplers``."""

    name: str = Field(description="a registered name, or the path of a class")
    options: dict[str, Any] = Field(description="all of its options")
    device: str = Field(description="where a network is trained, and draws")

    def estimator(self) -> Any:
        """What it is fitted by.

        Raises:
            InputError: an unknown name or option.
        """
        return SAMPLERS.make(self.name, self.options, f"samplers.{self.name}")

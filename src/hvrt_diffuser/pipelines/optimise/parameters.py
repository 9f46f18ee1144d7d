"""Parameters of ``optimise``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.pipelines.hpo.parameters import Axes
from hvrt_diffuser.pipelines.options import Options

__all__ = ["OptimiseOptions"]


class OptimiseOptions(Options):
    """A joint search; what else a point needs is that of ``hpo``."""

    trials: int = Field(ge=1, description="different points that are measured")
    confirmed: int = Field(
        ge=1, description="of the best points, those measured again with the seeds of hpo"
    )
    space: Axes = Field(min_length=1, description="the values of parameters that are searched")

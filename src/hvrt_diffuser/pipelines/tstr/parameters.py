"""Parameters of ``tstr``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["TSTROptions"]


class TSTROptions(DeviceOptions):
    """How classifiers are trained on synthetic images and tested on real ones."""

    n: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="training images of a row, even by class; one table for each"
    )
    seeds: int = Field(ge=2, description="repetitions, each with draws and weights of its own")
    few_shot: int | None = Field(
        ge=1,
        description="real images of each class in the rows of someone who has no more; null leaves "
        "these rows out",
    )
    classifier: ClassifierOptions = Field(description="the same for every row")

"""Parameters of ``tstr``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["TSTROptions"]


class TSTROptions(DeviceOptions):
    """How classifiers are trained on synthetic images and tested on real ones."""

    n: int = Field(ge=1, description="training images of each row but real_all, even by class")
    seeds: int = Field(ge=2, description="repetitions, each with draws and weights of its own")
    classifier: ClassifierOptions = Field(description="the same for every row")

"""Parameters of ``evaluation``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["EvaluationOptions"]


class EvaluationOptions(DeviceOptions):
    """How the synthetic images are judged."""

    judge: JudgeOptions = Field(description="the classifier whose features are compared")

"""Parameters of ``evaluation``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.judge import ExtractorName
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["EvaluationOptions"]


class EvaluationOptions(DeviceOptions):
    """How the synthetic images are judged."""

    extractors: tuple[ExtractorName, ...] = Field(
        description="features that Fréchet distances are measured in, classifier among them"
    )
    inception_weights: Path | None = Field(
        description="file of the weights of FID, for the extractor inception"
    )
    inception_download: bool = Field(description="fetch those weights where no file is given")
    judge: JudgeOptions = Field(description="the classifier whose features are compared")

    @field_validator("extractors")
    @classmethod
    def _with_the_classifier(cls, names: tuple[ExtractorName, ...]) -> tuple[ExtractorName, ...]:
        if "classifier" not in names:
            raise ValueError("classifier is missing, on which the verdict rests")
        return names

"""Parameters of ``evaluation``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.common.bounds import Distinct, Seed
from hvrt_diffuser.judge import MEASURED, ExtractorName
from hvrt_diffuser.metrics import named_metrics
from hvrt_diffuser.pipelines.generation.parameters import ClassName
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["EvaluateOptions", "EvaluationOptions"]


class EvaluationOptions(DeviceOptions):
    """How the synthetic images are judged."""

    extractors: Annotated[tuple[ExtractorName, ...], Distinct] = Field(
        ("classifier", "encoder"),
        description="features that Fréchet distances are measured in, classifier among them",
    )
    metrics: Annotated[tuple[str, ...], Distinct] = Field(
        MEASURED,
        description="what is measured in the classifier's features: names, or paths of functions",
    )
    inception_weights: Path | None = Field(
        None, description="file of the weights of FID, for the extractor inception"
    )
    inception_download: bool = Field(
        False, description="fetch those weights where no file is given"
    )
    dinov2_weights: Path | None = Field(
        None, description="file of the weights of DINOv2, for the extractor dinov2"
    )
    judge: JudgeOptions = Field(
        JudgeOptions(), description="the classifier whose features are compared"
    )

    @field_validator("metrics")
    @classmethod
    def _there(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        named_metrics(names)
        return names

    @field_validator("extractors")
    @classmethod
    def _with_the_classifier(cls, names: tuple[ExtractorName, ...]) -> tuple[ExtractorName, ...]:
        if "classifier" not in names:
            raise ValueError("classifier is missing, on which the verdict rests")
        return names


class EvaluateOptions(EvaluationOptions):
    """What ``evaluate`` has to know; put together from ``evaluation`` and other blocks."""

    class_id: ClassName | None = Field(
        description="of generation: the only class that was asked for"
    )
    vae: str = Field(description="name of the VAE's row")
    seed: Seed = Field(description="of the run")

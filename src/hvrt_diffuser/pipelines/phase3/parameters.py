"""Parameters of ``phase3``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.pipelines.phase1.parameters import PhaseOptions

__all__ = ["WarmStartOptions"]


class WarmStartOptions(PhaseOptions):
    """A generator that saw some of the images, and then the others as well."""

    known: float = Field(gt=0, lt=1, description="share of the images of each class seen at first")
    epochs: int = Field(ge=1, description="of fine-tuning on all images")
    learning_rate: float = Field(gt=0, description="peak rate of fine-tuning")

"""How classifiers are trained: networks, steps, learning rates."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from typing_extensions import Self

from hvrt_diffuser.classifiers.network import NetworkName
from hvrt_diffuser.common.bounds import (
    BatchSize,
    LearningRate,
    Share,
    Shift,
    Steps,
    WeightDecay,
    Width,
)
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.data.augmentation import Mirrored

__all__ = ["AT_A_STEP", "ClassifierOptions", "JudgeOptions"]

AT_A_STEP = 128  # images, in training
FEW, FEW_AT_ONCE = 512, 32  # images of a row, and then of a step


class ClassifierOptions(Options):
    """How a classifier is trained: the same number of steps whatever the number of images."""

    network: NetworkName = Field(
        "strided",
        description="strided convolutions, quick on small grey images; or whitened, which tells "
        "photographs better, takes longer, and is fast where width is a multiple of 32",
    )
    width: Width = Field(16, description="channels at half the image's size")
    steps: Steps = Field(150, ge=2, description="optimiser steps")
    batch_size: BatchSize | None = Field(
        None,
        ge=2,
        description="images per step, or all if there are fewer; null is 128, or 32 where there "
        "are fewer than 512 images, in TSTR of the smallest row",
    )
    learning_rate: LearningRate | None = Field(
        None,
        description="peak rate of AdamW, or where whitened of Nesterov's method; null is 0.002, "
        "or 0.75",
    )
    weight_decay: WeightDecay | None = Field(
        None,
        description="per step and unit of learning rate; null is 0.01, or 0.0013 where whitened",
    )
    precision: Precision = Field("float32", description="of the convolutions")

    usual_decay: ClassVar[float] = 0.01  # of weights, where strided

    def for_rows(self, n: int) -> Self:
        """The same for every row of a table, of which the smallest has ``n`` images.

        Of few images, steps of 128 are many passes over all of them, and most of the time.
        """
        few = self.batch_size is None and n < FEW
        return self.model_copy(update={"batch_size": FEW_AT_ONCE}) if few else self


class JudgeOptions(ClassifierOptions):
    """How the classifier that judges is trained, so that it remembers little of its images."""

    width: Width = Field(32, description="channels at half the image's size")
    steps: Steps = Field(800, ge=2, description="optimiser steps")
    weight_decay: WeightDecay | None = Field(
        None,
        description="per step and unit of learning rate; null is 0.05, or 0.0013 where whitened",
    )
    usual_decay: ClassVar[float] = 0.05
    shift: Shift = Field(2, description="largest random translation, pixels, each way")
    mirrored: Mirrored = Field(
        "auto",
        description="mirror images by turns, and both seen alike; auto: of colour images alone",
    )
    validation_fraction: Share = Field(0.1, gt=0, lt=1, description="share held out, by class")
    evaluate_every: Steps = Field(80, description="steps between two looks at the validation loss")
    patience: Steps = Field(5, description="looks without a better loss before training stops")

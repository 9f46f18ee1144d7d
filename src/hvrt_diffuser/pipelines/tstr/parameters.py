"""Parameters of ``tstr``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions
from hvrt_diffuser.common.bounds import Count, Distinct, Repetitions, Seed
from hvrt_diffuser.data.augmentation import Augmentation, AugmentName
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import ChosenSampler
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["TSTROptions", "TSTRTask"]


class TSTROptions(DeviceOptions):
    """How classifiers are trained on synthetic images and tested on real ones."""

    n: Annotated[tuple[Count, ...], Distinct] = Field(
        (2000,),
        min_length=1,
        description="training images of a row, even by class, or as many as there are; one table "
        "for each",
    )
    seeds: Repetitions = Field(
        5, ge=2, description="repetitions, each with draws and weights of its own"
    )
    few_shot: Count | None = Field(
        100,
        description="real images of each class, at most, in the rows of someone who has no more; "
        "null leaves these rows out",
    )
    augment: AugmentName = Field(
        "auto",
        description="changes of each batch in the rows that augment: affine (by the amounts of "
        "latent_encoding.augmentation), flip_and_crop, or auto, which takes these for colour "
        "images",
    )
    classifier: ClassifierOptions = Field(ClassifierOptions(), description="the same for every row")
    until_validation: JudgeOptions = Field(
        JudgeOptions(width=16, shift=0, mirrored="never"),
        description="the classifier of real_all_until_validation, which is not held to equal steps",
    )


class TSTRTask(TSTROptions):
    """What the rows are made by; put together from ``tstr`` and other blocks."""

    sampler: ChosenSampler = Field(description="of generators that saw fewer images")
    ae_training: AETrainingOptions = Field(description="of their autoencoders")
    augmentation: Augmentation = Field(description="of what they may start from, and of batches")
    vae: str = Field(description="name of the VAE's rows")
    seed: Seed = Field(description="of the run")

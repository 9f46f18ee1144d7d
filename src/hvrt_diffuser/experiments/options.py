"""What an experiment is asked for: one schema for all of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.metrics import named_metrics

__all__ = [
    "BaseOptions",
    "ExperimentOptions",
    "JobGroup",
    "SearchOptions",
    "TuningOptions",
    "WarmStartOptions",
]

Changes = dict[str, Any]


class BaseOptions(Options):
    """What a run is made by: what no job of an experiment changes stays as it is here."""

    ae_training: TrainingOptions = Field(description="of the autoencoder")
    samplers: dict[str, Changes] = Field({}, description="options of samplers, by name")
    classifier: ClassifierOptions = Field(description="of TSTR")
    augmentation: Augmentation = Field(Augmentation(), description="of images to start from")
    seed: int = Field(0, ge=0, description="of everything random")
    device: str = Field("cpu", description="where to compute")


class JobGroup(Options):
    """Jobs that differ in the values of a grid, in their samplers and in their seeds.

    In a grid and in candidates an option is called ``sampler.noise_scale`` or
    ``autoencoder.beta``; a grid may have ``conditional`` as well, whether the draws of fidelity and
    novelty are asked for by class.
    """

    samplers: tuple[str, ...] = Field(
        (),
        description="names of samplers and whole models, or of groups of this experiment whose "
        "sampler and options are taken; none is the one that the group is called after",
    )
    options: Changes = Field({}, description="of the samplers")
    autoencoder: Changes = Field(
        {}, description="changes of ae_training; without any, the run's own is taken"
    )
    grid: dict[str, tuple[Any, ...]] = Field({}, description="values; all combinations are jobs")
    candidates: tuple[Changes, ...] = Field(
        (), description="changes, of which those that are best on held-out training images are made"
    )
    copies: int = Field(
        0, ge=0, description="augmented versions of each image that draws start from, beside itself"
    )
    seeds: int | None = Field(None, ge=1, description="repetitions; null is the experiment's")
    trainings: int | None = Field(
        None,
        ge=1,
        description="autoencoders that the repetitions take in turn; null is one for each",
    )
    start: Literal["known", "warm"] | None = Field(
        None, description="made of some of the images, or going on from that with all of them"
    )


class TuningOptions(Options):
    """With how much less training a candidate is tried."""

    steps: int = Field(500, ge=1, description="of the optimiser, for networks of latents")
    epochs: int = Field(5, ge=1, description="of autoencoders")
    share: float = Field(0.1, gt=0, le=1, description="of its training, for a whole model")
    draws: int = Field(
        1000, ge=6, description="of a whole model: those of a diffusion of pixels take minutes"
    )


class SearchOptions(Options):
    """A joint search for fidelity, utility and novelty."""

    trials: int = Field(40, ge=1, description="different points that are measured")
    confirmed: int = Field(
        4, ge=1, description="of the best points, those measured again with other seeds"
    )
    space: dict[str, tuple[Any, ...]] = Field(
        min_length=1, description="values of options, named as in a grid"
    )


class WarmStartOptions(Options):
    """A generator that saw some of the images, and then the others as well."""

    known: float = Field(
        0.5, gt=0, lt=1, description="share of the images of each class seen at first"
    )
    epochs: int = Field(3, ge=1, description="of fine-tuning on all images")
    learning_rate: float = Field(1e-3, gt=0, description="peak rate of fine-tuning")


class ExperimentOptions(Options):
    """A list of jobs, and on how many draws they are measured."""

    n: int = Field(2000, ge=6, description="draws of a job, and training images of a classifier")
    compared: int = Field(
        1000, ge=1, description="of these, draws whose nearest training images are looked for"
    )
    seeds: int = Field(3, ge=1, description="repetitions of a job, with fits of their own")
    network_seeds: int | None = Field(
        None, ge=1, description="repetitions of samplers that train a network; null is seeds"
    )
    classifiers: int = Field(1, ge=1, description="trained on the draws of a job")
    metrics: tuple[str, ...] = Field(
        (), description="also measured in the judge's features: names of metrics, or paths"
    )
    training_steps: int | None = Field(
        None, ge=1, description="of every network of latents; null is each one's own"
    )
    autoencoder: Changes = Field({}, description="changes of ae_training that all jobs have")
    jobs: dict[str, JobGroup | None] = Field({}, description="by name; null leaves one out")
    tuning: TuningOptions = Field(TuningOptions(), description="of candidates")
    search: SearchOptions | None = Field(None, description="of the options of the only group")
    warm_start: WarmStartOptions = Field(
        WarmStartOptions(), description="of groups that have a start"
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        named_metrics(names)
        return names

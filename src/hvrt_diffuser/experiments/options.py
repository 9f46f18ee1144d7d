"""What an experiment is asked for: one schema for all of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.bounds import (
    Copies,
    Count,
    Distinct,
    Epochs,
    LearningRate,
    Repetitions,
    Seed,
    Share,
    Steps,
    Trials,
)
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.metrics import named_metrics

__all__ = [
    "BaseOptions",
    "ExperimentOptions",
    "JobGroup",
    "LikelihoodOptions",
    "SearchOptions",
    "TuningOptions",
    "WarmStartOptions",
]

Changes = dict[str, Any]
Values = Annotated[tuple[Any, ...], Field(min_length=1), Distinct]


class BaseOptions(Options):
    """What a run is made by: what no job of an experiment changes stays as it is here."""

    ae_training: TrainingOptions = Field(description="of the autoencoder")
    samplers: dict[str, Changes] = Field({}, description="options of samplers, by name")
    classifier: ClassifierOptions = Field(description="of TSTR")
    augmentation: Augmentation = Field(Augmentation(), description="of images to start from")
    seed: Seed = Field(0, description="of everything random")
    device: str = Field("cpu", description="where to compute")


class JobGroup(Options):
    """Jobs that differ in the values of a grid, in their samplers and in their seeds.

    In a grid and in candidates an option is called ``sampler.noise_scale`` or
    ``autoencoder.beta``; a grid may have ``conditional`` as well, whether the draws of fidelity and
    novelty are asked for by class.
    """

    samplers: Annotated[tuple[str, ...], Distinct] = Field(
        (),
        description="names of samplers and whole models, or of groups of this experiment whose "
        "sampler and options are taken; none is the one that the group is called after",
    )
    options: Changes = Field({}, description="of the samplers")
    autoencoder: Changes = Field(
        {}, description="changes of ae_training; without any, the run's own is taken"
    )
    grid: dict[str, Values] = Field({}, description="values; all combinations are jobs")
    candidates: Annotated[tuple[Changes, ...], Distinct] = Field(
        (), description="changes, of which those that are best on held-out training images are made"
    )
    copies: Copies = Field(
        0, description="augmented versions of each image that draws start from, beside itself"
    )
    seeds: Repetitions | None = Field(None, description="repetitions; null is the experiment's")
    trainings: Repetitions | None = Field(
        None,
        description="autoencoders that the repetitions take in turn; null is one for each",
    )
    start: Literal["known", "warm"] | None = Field(
        None, description="made of some of the images, or going on from that with all of them"
    )


class TuningOptions(Options):
    """With how much less training a candidate is tried."""

    steps: Steps = Field(500, description="of the optimiser, for networks of latents")
    epochs: Epochs = Field(5, description="of autoencoders")
    share: Share = Field(0.1, gt=0, description="of its training, for a whole model")
    draws: Count = Field(
        1000, ge=6, description="of a whole model: those of a diffusion of pixels take minutes"
    )


class SearchOptions(Options):
    """A joint search for fidelity, utility and novelty."""

    trials: Trials = Field(40, description="different points that are measured")
    confirmed: Trials = Field(
        4, description="of the best points, those measured again with other seeds"
    )
    space: dict[str, Values] = Field(
        min_length=1, description="values of options, named as in a grid"
    )


class WarmStartOptions(Options):
    """A generator that saw some of the images, and then the others as well."""

    known: Share = Field(
        0.5, gt=0, lt=1, description="share of the images of each class seen at first"
    )
    epochs: Epochs = Field(3, description="of fine-tuning on all images")
    learning_rate: LearningRate = Field(1e-3, description="peak rate of fine-tuning")


class ExperimentOptions(Options):
    """A list of jobs, and on how many draws they are measured."""

    n: Count = Field(2000, ge=6, description="draws of a job, and training images of a classifier")
    compared: Count = Field(
        1000, description="of these, draws whose nearest training images are looked for"
    )
    seeds: Repetitions = Field(3, description="repetitions of a job, with fits of their own")
    network_seeds: Repetitions | None = Field(
        None, description="repetitions of samplers that train a network; null is seeds"
    )
    classifiers: Repetitions = Field(1, description="trained on the draws of a job")
    metrics: Annotated[tuple[str, ...], Distinct] = Field(
        (), description="also measured in the judge's features: names of metrics, or paths"
    )
    graded: bool = Field(
        False,
        description="measure what a verdict rests on, too: likeness in what learned nothing, "
        "membership and registered distances (40 s a job, of 10,000 draws beside MNIST)",
    )
    training_steps: Steps | None = Field(
        None, description="of every network of latents; null is each one's own"
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


class LikelihoodOptions(Options):
    """DVP-VAEs side by side, and how the likelihood of test images is bounded."""

    seeds: Repetitions = Field(3, description="trainings of a job")
    images: Count = Field(10_000, ge=2, description="test images at most, of -ELBO in the end")
    iwae_images: Count = Field(
        1000, description="of these, at most, of the importance-weighted bound"
    )
    iwae_samples: Count = Field(100, le=10_000, description="draws of it for each image")
    epoch_images: Count = Field(1000, ge=2, description="test images at most after every epoch")
    epoch_iwae_samples: Count = Field(10, le=10_000, description="draws for each of them")
    times: Count = Field(
        64, le=10_000, description="of the diffusion's bound, stratified, for each draw"
    )
    published: Changes | None = Field(
        None, description="a figure of others to stand in the rows, as it was published"
    )
    jobs: dict[str, JobGroup | None] = Field({}, description="by name; null leaves one out")

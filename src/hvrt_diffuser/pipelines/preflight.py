"""One look, once images are read and before anything is trained, at what later stages need."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.autoencoders.network import ConvolutionalAutoencoder
from hvrt_diffuser.catalog.export import check_folder_names
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import free_memory, total_memory
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.classes import class_index
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.imbalance import thinned
from hvrt_diffuser.metrics.likeness import fewest_for_excess
from hvrt_diffuser.pipelines.parameters import Parameters
from hvrt_diffuser.pipelines.tstr.tasks import FEWEST, REPETITIONS

__all__ = ["Problem", "adapted", "corrected", "problems", "refuse"]

FEATURES = 64  # of the classifier that judges
OF_A_WEIGHT = 16  # bytes in training: itself, its gradient, and two moments of the optimiser
OF_A_PIXEL = 5  # bytes in evaluation: itself, and as float32 beside the real ones
EVALUATION = 22  # times the bytes of all images, measured
ACTIVATIONS = 6  # float32 of each pixel and channel at half size, that a network keeps for a step
WHITENED = 5  # times as many, of a classifier that begins at the images' full size
SIDE = 8  # pixels, of which a suggested side is a multiple


@dataclass(frozen=True)
class Problem:
    """Something that a later stage would stop at.

    Attributes:
        sentence: what was found and what was expected.
        mend: parameters that would do, by name; none where only other images would.
    """

    sentence: str
    mend: Mapping[str, Any] = field(default_factory=dict)


def problems(
    train: LabelledImages,
    test: LabelledImages,
    parameters: Parameters,
    made: Collection[str],
    memory: float | None = None,
    total: float | None = None,
) -> list[Problem]:
    """What a run would stop at, all of it.

    Args:
        train, test: the images that it would use.
        parameters: of the run.
        made: datasets that it makes.
        memory: MB that are free; None asks the system.
        total: MB that the machine has; None asks the system.
    """
    found = list(_of_classes(train, test, parameters, made))
    found += _of_no_classes(train, parameters, made)
    found += _of_sides(train, parameters, made)
    if "autoencoder" in made:
        found += _of_autoencoder(train, parameters)
    if "exported_dataset" in made and parameters.export.form == "image_folder":
        try:
            check_folder_names(train.class_names)
        except InputError as error:
            found.append(Problem(f"export: {error}", {"export.form": "parquet"}))
    found += _of_what_cannot_be_held(train, parameters, made, total or total_memory())
    found += _of_memory(train, test, parameters, made, memory or free_memory())
    return found


def _of_autoencoder(train: LabelledImages, parameters: Parameters) -> Iterator[Problem]:
    options = parameters.ae_training.chosen
    if not isinstance(options, TrainingOptions):
        try:
            options.check(len(train), train.shape)
        except InputError as error:
            yield Problem(f"ae_training: {error}")
        return
    try:
        options.plan(len(train))
    except InputError as error:
        yield Problem(f"ae_training: {error}", {"ae_training.batch_size": None})
    _, h, w = train.shape
    try:
        options.architecture(train.shape, len(train))
    except InputError as error:
        depth = int(math.log2(min(h, w)))
        yield Problem(
            f"ae_training: {error}",
            {"ae_training.depth": depth} if depth else {"dataset.resize": max(SIDE, h, w)},
        )


def _of_sides(
    train: LabelledImages, parameters: Parameters, made: Collection[str]
) -> Iterator[Problem]:
    """What moves images must leave something of them."""
    side = min(train.shape[1:])
    moved: dict[str, float] = {}
    if "classifier" in made:
        moved["evaluation.judge.shift"] = parameters.evaluation.judge.shift
    if "tstr_metrics" in made:
        moved["tstr.until_validation.shift"] = parameters.tstr.until_validation.shift
    if {*made} & {"tstr_metrics", "latents_augmented", "balance_metrics", "shots_metrics"}:
        moved["latent_encoding.augmentation.shift"] = parameters.latent_encoding.augmentation.shift
    for name, shift in moved.items():
        if shift and shift >= side:
            yield Problem(
                f"{name} is {shift:g} and the images are {side} pixels wide or high, of which "
                f"nothing would be left, expected less than {side}"
            )


def _of_what_cannot_be_held(
    train: LabelledImages,
    parameters: Parameters,
    made: Collection[str],
    total: float | None,
) -> Iterator[Problem]:
    """What is more than all memory of the machine, whatever else runs there.

    Where there is a GPU its memory is the one that counts, and nothing is said.
    """
    if total is None or torch.cuda.is_available():
        return
    c, h, w = train.shape
    needs: dict[str, float] = {}
    options = parameters.ae_training.chosen
    if "autoencoder" in made and isinstance(options, TrainingOptions):
        with suppress(InputError), torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = ConvolutionalAutoencoder(options.architecture(train.shape, len(train)))
            weights = sum(p.numel() for p in network.parameters())
            needs["ae_training: the autoencoder's weights with their optimiser"] = (
                OF_A_WEIGHT * weights
            )
    if "evaluation_metrics" in made:
        n = parameters.generation.n
        needs[f"generation.n: {n:,} synthetic images with their pixels compared"] = (
            OF_A_PIXEL * n * c * h * w
        )
    for what, size in needs.items():
        if size / 1e6 > total:
            yield Problem(
                f"{what} would take {size / 1e9:,.0f} GB, and the machine has "
                f"{total / 1000:,.0f} GB, expected less than that"
            )


def _chosen(parameters: Parameters) -> Any:
    """What the chosen sampler, or whole model, is fitted by."""
    name = parameters.generation.sampler
    return SAMPLERS.make(name, parameters.samplers.get(name), f"samplers.{name}")


def _of_classes(
    train: LabelledImages, test: LabelledImages, parameters: Parameters, made: Collection[str]
) -> Iterator[Problem]:
    names = train.class_names
    counts = torch.bincount(train.labels, minlength=len(names))
    sampler, estimator = parameters.generation.sampler, _chosen(parameters)
    if "latent_sampler" in made and estimator.kind == "latents":
        try:
            estimator.check(counts, names)
        except InputError as error:
            yield Problem(f"the sampler {sampler}: {error}", _without(train, test, estimator))
    if "latent_sampler" in made and estimator.kind == "images":
        try:
            estimator.check(train.images, train.labels)
        except InputError as error:
            of_codes = f"samplers.{sampler}.latent_dim"
            few = getattr(estimator, "latent_dim", 0) > len(train) > 1
            yield Problem(
                f"the model {sampler}: {error}", {of_codes: len(train) // 2} if few else {}
            )
    if "balance_metrics" in made and parameters.balance.counts is not None:
        try:
            thinned(train, parameters.balance.counts, seed=0)
        except InputError as error:
            yield Problem(f"balance.{error}")
    if "shots_metrics" in made and (fewest := min(parameters.shots.shots)) > counts.min():
        small = names[int(counts.argmin())]
        yield Problem(
            f"shots.shots asks for {fewest:,} images of each class at least and class {small} has "
            f"{int(counts.min()):,} training images, expected no more than that"
        )
    if "synthetic_images" not in made:
        return
    generation, asked = parameters.generation, []
    if generation.class_id is not None:
        asked.append(("generation.class_id", generation.class_id))
    if isinstance(generation.counts, dict):
        asked += [("generation.counts", name) for name in generation.counts]
    for parameter, name in asked:
        try:
            class_index(names, name)
        except InputError as error:
            yield Problem(f"{parameter}: {error}")


def _of_no_classes(
    train: LabelledImages, parameters: Parameters, made: Collection[str]
) -> Iterator[Problem]:
    """What asks for images of classes that the chosen model does not learn."""
    generation = parameters.generation
    estimator = _chosen(parameters)
    if estimator.kind == "latents" or estimator.labelled or len(train.class_names) < 2:
        return
    asks = {
        "generation.class_id": "synthetic_images" in made and generation.class_id is not None,
        "generation.counts": "added_images" in made and generation.counts is not None,
        "generation.balance": "added_images" in made and generation.balance,
        "tstr": "tstr_metrics" in made,
        "balance": "balance_metrics" in made,
        "export": "exported_dataset" in made,
    }
    found = [name for name, asked in asks.items() if asked]
    if not found:
        return
    option = f"samplers.{generation.sampler}.conditional"
    known = "conditional" in type(estimator).model_fields
    yield Problem(
        f"the model {generation.sampler} learns no classes"
        + (f" ({option} is false)" if known else "")
        + f", and {', '.join(found)} {'asks' if len(found) == 1 else 'ask'} for images of them, "
        "expected a model that does, or a run without these",
        {option: True} if known else {},
    )


def _without(train: LabelledImages, test: LabelledImages, estimator: Any) -> dict[str, Any]:
    """What leaves out the classes that are too small, if some others are not."""
    k = len(train.class_names)
    counts = torch.bincount(train.labels, minlength=k)
    whole = counts + torch.bincount(test.labels, minlength=k)
    for too_small in whole.unique().tolist()[:-1]:
        try:
            estimator.check(counts[whole > too_small])
        except InputError:
            continue
        return {"dataset.min_class_size": too_small + 1}
    return {}


def _of_memory(
    train: LabelledImages,
    test: LabelledImages,
    parameters: Parameters,
    made: Collection[str],
    free: float | None,
) -> Iterator[Problem]:
    c, h, w = train.shape
    halved = h * w / 4 * 4 * ACTIVATIONS / 1e6  # MB of each image and channel
    needs = {}
    options = parameters.ae_training.chosen
    if "autoencoder" in made and isinstance(options, TrainingOptions):
        batch = min(options.batch_size or 128, len(train))
        needs["training the autoencoder"] = batch * options.width * halved
    if "evaluation_metrics" in made:
        everything = (len(train) + len(test)) * c * h * w / 1e6
        judge = parameters.evaluation.judge
        step = min(judge.batch_size or 128, len(train)) * judge.width * halved
        step *= WHITENED if judge.network == "whitened" else 1
        needs["evaluation"] = max(EVALUATION * everything, step)
    if not needs or free is None:
        return
    stage, most = max(needs.items(), key=lambda item: item[1])
    if most > free:
        side = max(SIDE, int(min(h, w) * math.sqrt(free / most) // SIDE * SIDE))
        yield Problem(
            f"{stage} of {len(train) + len(test):,} images of {h}x{w} pixels would take about "
            f"{most / 1000:.1f} GB, and {free / 1000:.1f} GB of memory are free",
            {"dataset.resize": side},
        )


def adapted(
    train: LabelledImages, test: LabelledImages, parameters: Parameters, made: Collection[str]
) -> list[str]:
    """What is chosen for as many images as there are, in sentences.

    Args:
        train, test, parameters, made: as for :func:`problems`, of which there are none.
    """
    found = []
    k = len(train.class_names)
    counts = torch.bincount(train.labels, minlength=k)
    least = int(counts.min())
    options = parameters.ae_training.chosen
    if "autoencoder" in made and isinstance(options, TrainingOptions):
        plan = options.plan(len(train))
        found.append(
            f"The autoencoder trains for {plan.steps:,} steps of {plan.batch_size} images: "
            f"{plan.epochs:,} passes over {plan.n_train:,}."
        )
    needed = 2 * fewest_for_excess(FEATURES)
    if "evaluation_metrics" in made and len(test) < needed:
        found.append(
            f"There are {len(test):,} test images, and with fewer than {needed} it can be told "
            "whether synthetic images differ from them, but not by how much."
        )
    if "tstr_metrics" in made:
        tstr = parameters.tstr
        if k < 2:
            found.append("All images are of one class: no classifier is trained on them.")
        elif len(test) < FEWEST:
            found.append(
                f"There are {len(test):,} test images, and with fewer than {FEWEST} every real "
                "image is tested in turn, by classifiers and generators of the others, in at most "
                f"{REPETITIONS} repetitions."
            )
        elif tstr.few_shot and least < tstr.few_shot:
            small = train.class_names[int(counts.argmin())]
            found.append(
                f"Class {small} has {least:,} training images: rows of few images have as many of "
                f"each class, where tstr.few_shot asks for {tstr.few_shot}."
            )
    return found


def refuse(found: Sequence[Problem], command: Sequence[str]) -> InputError:
    """The error that tells all problems at once, with a command that mends what a command can.

    Args:
        found: at least one.
        command: what was typed, word by word.
    """
    mend: dict[str, Any] = {}
    for problem in found:
        mend |= problem.mend
    if len(found) == 1:
        said = found[0].sentence
    else:
        said = f"{len(found)} things stand in the way of this run: " + "; ".join(
            f"({i}) {problem.sentence}" for i, problem in enumerate(found, 1)
        )
    if all(problem.mend for problem in found):
        return InputError(f"{said}. This command would do: {corrected(command, mend)}")
    return InputError(said)


def corrected(command: Sequence[str], changes: Mapping[str, Any]) -> str:
    """A command of ``kedro run``, or of ``hvrt-diffuser``, with some parameters changed.

    Args:
        command: what was typed, word by word.
        changes: values by parameter; None is null.
    """
    words = list(command)
    values = {name: "null" if value is None else str(value) for name, value in changes.items()}
    program = words[words.index("-m") + 1] if "-m" in words else words[0]
    if Path(program).name != "kedro":
        own = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        return shlex.join([*words, *own])  # the last one counts
    given: dict[str, str] = {}
    for place, word in enumerate(words):
        if word in ("--params", "-p") and place + 1 < len(words):
            given = dict(part.split("=", 1) for part in words[place + 1].split(",") if "=" in part)
            del words[place : place + 2]
            break
        if word.startswith("--params="):
            given = dict(part.split("=", 1) for part in word[9:].split(",") if "=" in part)
            del words[place]
            break
    params = ",".join(f"{name}={value}" for name, value in (given | values).items())
    return shlex.join([*words, "--params", params])

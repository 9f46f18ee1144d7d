"""What is measured: every combination of autoencoder, sampler and options, for every seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.estimator import Estimator
from hvrt_diffuser.common.options import change
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions, JobGroup

__all__ = ["Chosen", "Job", "expand", "groups_of", "space_of"]

MOST_JOBS = 10_000  # of one group: each is a fit

Chosen = Mapping[str, Mapping[str, Any]]
"""By the name of a group, the candidate that was chosen."""


@dataclass(frozen=True)
class Job:
    """A model that is made and measured once.

    Attributes:
        row: of the table; repetitions share it.
        group: name of the group, and of the sampler if it has several.
        values: of the grid, by option.
        sampler: what is fitted, with every option.
        training: of the autoencoder; None is the run's own, and a whole model needs none.
        trained: whose seed the autoencoder is trained with.
        repetition: gives the seed of everything else.
        conditional: whether the draws of fidelity and novelty are asked for by class.
        augmentation: of the images that draws start from.
        start: see :class:`JobGroup`.
    """

    row: str
    group: str
    values: dict[str, Any]
    sampler: Estimator
    training: TrainingOptions | None
    trained: int | str
    repetition: int | str
    conditional: bool = False
    augmentation: Augmentation | None = None
    start: str | None = None

    def again(self, repetition: int | str) -> Job:
        """The same with another seed."""
        return replace(self, trained=repetition, repetition=repetition)

    def dumped(self) -> dict[str, Any]:
        """As JSON, which :meth:`loaded` reads."""
        options = {
            name: value and value.model_dump(mode="json")
            for name in ("training", "augmentation")
            for value in [getattr(self, name)]
        }
        sampler = [self.sampler.name, self.sampler.model_dump(mode="json")]
        return {**vars(self), **options, "sampler": sampler}

    @classmethod
    def loaded(cls, dumped: Mapping[str, Any]) -> Job:
        """The job that :meth:`dumped` has written."""
        name, options = dumped["sampler"]
        training, augmentation = dumped["training"], dumped["augmentation"]
        own = {
            "sampler": SAMPLERS.make(name, options, "sampler"),
            "training": training and TrainingOptions.model_validate(training),
            "augmentation": augmentation and Augmentation.model_validate(augmentation),
        }
        return cls(**{**dumped, **own})


def groups_of(name: str, options: ExperimentOptions) -> dict[str, JobGroup]:
    """The groups of an experiment that are not left out.

    Raises:
        InputError: there is none.
    """
    found = {key: group for key, group in options.jobs.items() if group is not None}
    if not found:
        raise InputError(f"{name}.jobs names no job, expected at least one: add one, or leave one")
    return found


def expand(
    name: str, options: ExperimentOptions, base: BaseOptions, chosen: Chosen | None = None
) -> list[Job]:
    """All jobs of an experiment, in the order of the table.

    Args:
        name: of the experiment, for errors.
        options: of the experiment.
        base: what no job changes.
        chosen: of groups that have candidates; the first one where there is none.

    Raises:
        InputError: an unknown sampler or option, or a value that is out of range.
    """
    groups = groups_of(name, options)
    best = {key: group.candidates[0] for key, group in groups.items() if group.candidates}
    best |= {key: dict(changes) for key, changes in (chosen or {}).items()}
    found = []
    for key, group in groups.items():
        where = f"{name}.jobs.{key}"
        combinations = math.prod(map(len, group.grid.values()))
        if combinations > MOST_JOBS:
            raise InputError(
                f"{where} has a grid of {combinations:,} combinations, expected at most "
                f"{MOST_JOBS:,}: leave some values out"
            )
        for sampler in group.samplers or (key,):
            other = groups.get(sampler, JobGroup()) if sampler != key else JobGroup()
            own_name = (other.samplers or (sampler,))[0]
            changes = {f"sampler.{k}": v for k, v in other.options.items()}
            changes |= {k: v for k, v in best.get(sampler, {}).items() if sampler in groups}
            changes |= {f"sampler.{k}": v for k, v in group.options.items()}
            changes |= {f"autoencoder.{k}": v for k, v in group.autoencoder.items()}
            changes |= best.get(key, {})
            several = len(group.samplers) > 1 or any(k.startswith("autoencoder.") for k in changes)
            called = f"{key} + {sampler}" if several and group.samplers else key
            for values in _combinations(group.grid):
                job = _job(where, called, own_name, group, {**changes, **values}, options, base)
                seeds = group.seeds or options.seeds
                if group.seeds is None and job.sampler.network and options.network_seeds:
                    seeds = options.network_seeds
                row = ", ".join([called, *(f"{_short(k)} {v}" for k, v in values.items())])
                found += [
                    replace(
                        job,
                        row=row,
                        values=values,
                        repetition=k,
                        trained=k % (group.trainings or seeds),
                    )
                    for k in range(seeds)
                ]
    return found


def space_of(name: str, options: ExperimentOptions, base: BaseOptions) -> list[Job]:
    """A job for every point of the space that is searched.

    Raises:
        InputError: no space, more than one group, or a point that cannot be made.
    """
    groups = groups_of(name, options)
    if options.search is None or len(groups) != 1:
        raise InputError(
            f"{name} has {len(groups)} groups of jobs and "
            f"{'a' if options.search else 'no'} search, expected one group and a search with a "
            "space: correct it in conf/"
        )
    ((key, group),) = groups.items()
    wide = group.model_copy(update={"grid": options.search.space, "seeds": 1})
    return expand(name, options.model_copy(update={"jobs": {key: wide}}), base)


def _short(option: str) -> str:
    return option.rpartition(".")[2]


def _combinations(grid: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The first option varies slowest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _job(
    where: str,
    group_name: str,
    sampler_name: str,
    group: JobGroup,
    changes: Mapping[str, Any],
    options: ExperimentOptions,
    base: BaseOptions,
) -> Job:
    parts: dict[str, dict[str, Any]] = {"sampler": {}, "autoencoder": dict(options.autoencoder)}
    conditional = False
    for key, value in changes.items():
        part, _, option = key.partition(".")
        if key == "conditional":
            conditional = bool(value)
        elif part in parts and option:
            parts[part][option] = value
        else:
            raise InputError(
                f"{where} changes {key}, expected options such as sampler.noise_scale or "
                "autoencoder.beta, or conditional: correct it"
            )
    kind = SAMPLERS.find(sampler_name)
    own = dict(base.samplers.get(sampler_name, {}))
    if options.training_steps and kind.kind == "latents" and "training_steps" in kind.model_fields:
        own["training_steps"] = options.training_steps
    sampler = SAMPLERS.make(sampler_name, own | parts["sampler"], f"{where}.sampler")
    training = None
    if sampler.kind == "images":
        if parts["autoencoder"] != options.autoencoder or group.copies or group.start:
            raise InputError(
                f"{where} has {sampler_name}, a whole model, with an autoencoder, copies or a "
                "start, expected a sampler of latents: leave these out"
            )
    elif parts["autoencoder"]:
        training = change(f"{where}.autoencoder", base.ae_training, parts["autoencoder"])
    elif group.start:
        training = base.ae_training
    augmentation = None
    if group.copies:
        if "augmented" not in sampler.uses or getattr(sampler, "strength", 0) == 1:
            raise InputError(
                f"{where}.copies is {group.copies} with {sampler_name}, whose draws start from no "
                "image: take a flow with a strength below 1, or set copies to 0"
            )
        augmentation = base.augmentation.model_copy(update={"copies": group.copies})
    if "deviations" in sampler.uses and training is not None and training.beta == 0:
        raise InputError(
            f"{where} has {sampler_name}, which needs a VAE, and an autoencoder of beta 0: set "
            "autoencoder.beta above 0"
        )
    return Job("", group_name, {}, sampler, training, 0, 0, conditional, augmentation, group.start)

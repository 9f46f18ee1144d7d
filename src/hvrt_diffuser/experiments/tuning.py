"""Candidates, chosen on training images that are held out: none is chosen on test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.jobs import Job, expand, groups_of
from hvrt_diffuser.experiments.ledger import Entry
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions, JobGroup
from hvrt_diffuser.experiments.runner import Runner
from hvrt_diffuser.experiments.workers import run_jobs

__all__ = ["tune", "validation_split"]

PRIOR = "mixture"  # of the autoencoders that are tuned; that of Ghosh et al. 2020
SEED = "tuning"
FIDELITY = "fd_classifier"


def validation_split(n: int, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows int64 to fit on and rows to measure against, of n training images.

    Raises:
        InputError: fewer would be left to fit on than to measure against.
    """
    if 2 * held_out > n:
        raise InputError(
            f"{held_out} of {n} training images would be held out to choose candidates, expected "
            "at most half of them: lower n, or give each group one candidate"
        )
    order = torch.randperm(n, generator=generator(seed, "rivals", "validation"))
    return order[held_out:].sort().values, order[:held_out].sort().values


def tune(
    name: str,
    train: LabelledImages,
    judge: Classifier,
    autoencoder: Autoencoder,
    base: BaseOptions,
    options: ExperimentOptions,
    folder: Path,
) -> tuple[dict[str, dict[str, Any]], list[Entry]]:
    """The candidate of each group whose Fréchet distance to held-out training images is least.

    Each is tried with less training. An autoencoder is tried with a Gaussian mixture.

    Args:
        name: of the experiment, for errors.
        train: training images.
        judge: gives the features.
        autoencoder: the run's own.
        base: what no candidate changes.
        options: of the experiment.
        folder: see :class:`Runner`; no candidate is tried again.

    Returns:
        By group, the changes of the best; and ``group``, ``changes`` and ``fd_classifier`` of every
        candidate of the groups that have several.

    Raises:
        InputError: options that are none of a candidate's own, or too few images.
    """
    groups = groups_of(name, options)
    several = {key: group for key, group in groups.items() if len(group.candidates) > 1}
    best = {key: dict(group.candidates[0]) for key, group in groups.items() if group.candidates}
    if not several:
        return best, []
    seed = derive_seed(base.seed, "rivals", SEED)
    few, held_out = (train[rows] for rows in validation_split(len(train), options.n, seed))
    trials = [
        (key, changes, _trial(name, key, group, changes, base, options))
        for key, group in several.items()
        for changes in group.candidates
    ]
    fidelities: dict[int, float] = {}
    runners = [
        (
            [place for place, (*_, job) in enumerate(trials) if job.sampler.kind == kind],
            Runner(
                few,
                held_out,
                judge,
                autoencoder,
                base,
                options.model_copy(update={"n": n}),
                folder,
                only=frozenset({FIDELITY}),
            ),
        )
        for kind, n in (("images", options.tuning.draws), ("latents", options.n))
    ]
    for places, runner in runners:
        runner.check([trials[place][2] for place in places])
    for places, runner in runners:
        entries = run_jobs(runner, [trials[place][2] for place in places], "choosing candidates")
        fidelities |= {p: entry[FIDELITY] for p, entry in zip(places, entries, strict=True)}
    measured: list[Entry] = [
        {"group": key, "changes": dict(changes), FIDELITY: fidelities[place]}
        for place, (key, changes, _) in enumerate(trials)
    ]
    for key in several:
        own = [entry for entry in measured if entry["group"] == key]
        best[key] = min(own, key=lambda entry: entry[FIDELITY])["changes"]
    return best, measured


def _trial(
    name: str,
    key: str,
    group: JobGroup,
    changes: Mapping[str, Any],
    base: BaseOptions,
    options: ExperimentOptions,
) -> Job:
    """The job of a candidate, with less training."""
    effort, alone = options.tuning, group.model_copy(update={"candidates": (), "grid": {}})
    others = {k: v for k, v in options.jobs.items() if k != key}
    for_autoencoder = [k for k in changes if k.startswith("autoencoder.")]
    if for_autoencoder and len(for_autoencoder) < len(changes):
        raise InputError(
            f"{name}.jobs.{key} has a candidate {dict(changes)}, which changes the autoencoder and "
            "the sampler, expected one of them: make two groups of it"
        )
    if for_autoencoder:
        alone = alone.model_copy(update={"samplers": (PRIOR,), "options": {}, "copies": 0})
        changes = {**changes, "autoencoder.epochs": effort.epochs}
        others = {}
    own = options.model_copy(
        update={"jobs": {key: alone, **others}, "training_steps": effort.steps}
    )
    job = expand(name, own, base, {key: changes})[0]
    if job.sampler.kind == "images":
        job = replace(job, sampler=job.sampler.shortened(effort.share))  # type: ignore[attr-defined]
    return job.again(SEED)

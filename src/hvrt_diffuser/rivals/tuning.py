"""Rivals' options, chosen on training images that are held out: none is chosen on test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier import ImageYardstick, Yardstick
from hvrt_diffuser.rivals.generators import ImageEstimator, check_generators, tuned_generators
from hvrt_diffuser.rivals.ledger import Entry, Job, Ledger
from hvrt_diffuser.rivals.measures import draw_images
from hvrt_diffuser.rivals.registry import Shared, changed, estimator_of
from hvrt_diffuser.sweeps import Yardsticks

__all__ = [
    "Candidates",
    "Trial",
    "autoencoder_trials",
    "check_candidates",
    "chosen",
    "generator_trials",
    "prior_trials",
    "run_trials",
    "validation_split",
]

Candidates = Mapping[str, Sequence[Mapping[str, Any]]]
PRIOR = "mixture"  # of the autoencoders that are tuned; that of Ghosh et al. 2020


@dataclass(frozen=True)
class Trial:
    """A candidate.

    Attributes:
        rival: whose options they are.
        changes: of its options, JSON.
        effort: what it is tried with, JSON: an entry of another effort does not count.
        measure: gives its Fréchet distance to the held-out images.
    """

    rival: str
    changes: Mapping[str, Any]
    effort: Mapping[str, Any]
    measure: Callable[[], float]


def validation_split(n: int, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows int64 to fit on and rows to measure against, of n training images.

    Raises:
        InputError: fewer would be left to fit on than to measure against.
    """
    if 2 * held_out > n:
        raise InputError(
            f"{held_out} of {n} training images would be held out to tune rivals, expected at most "
            "half of them: lower benchmark.n, or give each rival one candidate"
        )
    order = torch.randperm(n, generator=generator(seed, "rivals", "validation"))
    return order[held_out:].sort().values, order[:held_out].sort().values


def prior_trials(
    yardstick: Yardstick, candidates: Candidates, shared: Shared, *, steps: int, seed: int
) -> list[Trial]:
    """Candidates of those priors that have more than one.

    Args:
        yardstick: of held-out images.
        candidates: changes of their options, by name, of :data:`PRIORS`.
        shared: what they are built from.
        steps: of the optimiser, for each network.
        seed: of everything random.

    Raises:
        InputError: options that are none of theirs.
    """
    quick = replace(shared, flow=shared.flow.model_copy(update={"training_steps": steps}))

    def trial(name: str, changes: Mapping[str, Any]) -> Trial:
        estimator = estimator_of(name, quick, changes)

        def measure() -> float:
            latents = yardstick.latents.to(yardstick.device)
            sampler = estimator.fit(latents, yardstick.train.labels, seed=seed)
            return yardstick.frechet(yardstick.draw(sampler, seed).images)

        return Trial(name, changes, {"steps": steps}, measure)

    return [trial(name, each) for name, several in _tuned(candidates) for each in several]


def autoencoder_trials(
    yardsticks: Yardsticks,
    training: TrainingOptions,
    candidates: Candidates,
    shared: Shared,
    *,
    epochs: int,
    seed: int,
) -> list[Trial]:
    """Candidates of those autoencoders that have more than one, with a Gaussian mixture.

    Args:
        yardsticks: of held-out images.
        training: of the autoencoder that the priors have.
        candidates: changes of these options, by the name of the autoencoder.
        shared: what the mixture is built from.
        epochs: of each training.
        seed: of everything random.

    Raises:
        InputError: options that nothing can be trained by.
    """

    def trial(name: str, changes: Mapping[str, Any]) -> Trial:
        options = changed(f"autoencoders.{name}", training, {**changes, "epochs": epochs})

        def measure() -> float:
            yardstick = yardsticks.get(options, seed).yardstick
            latents = yardstick.latents.to(yardstick.device)
            mixture = estimator_of(PRIOR, shared, {})
            sampler = mixture.fit(latents, yardstick.train.labels, seed=seed)
            return yardstick.frechet(yardstick.draw(sampler, seed).images)

        return Trial(name, changes, {"epochs": epochs}, measure)

    return [trial(name, each) for name, several in _tuned(candidates) for each in several]


def check_candidates(
    estimators: Mapping[str, ImageEstimator], candidates: Candidates, images: LabelledImages
) -> None:
    """Refuse, before anything is tried, whole models or candidates that cannot be trained.

    Args:
        estimators: by name.
        candidates: changes of their options, by name.
        images: that they would be trained on.

    Raises:
        InputError: one cannot be trained on these images, or has options that are none of its own.
    """
    check_generators(estimators, images)
    for name, several in candidates.items():
        for changes in several:
            check_generators(tuned_generators({name: estimators[name]}, {name: changes}), images)


def generator_trials(
    yardstick: ImageYardstick,
    estimators: Mapping[str, ImageEstimator],
    candidates: Candidates,
    *,
    share: float,
    seed: int,
) -> list[Trial]:
    """Candidates of those whole models that have more than one.

    Args:
        yardstick: of held-out images.
        estimators: by name.
        candidates: changes of their options, by name.
        share: of its training that each candidate has.
        seed: of everything random.

    Raises:
        InputError: options that are none of theirs.
    """

    def trial(name: str, changes: Mapping[str, Any]) -> Trial:
        whole = tuned_generators({name: estimators[name]}, {name: changes})[name]
        estimator = whole.shortened(share)

        def measure() -> float:
            train = yardstick.train
            model = estimator.fit(train.images, train.labels, seed=seed, device=yardstick.device)
            return yardstick.frechet(draw_images(yardstick, model, seed)[0])

        effort = {"options": estimator.model_dump(mode="json"), "draws": yardstick.n}
        return Trial(name, changes, effort, measure)

    return [trial(name, each) for name, several in _tuned(candidates) for each in several]


def _tuned(candidates: Candidates) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    return [(name, several) for name, several in candidates.items() if len(several) > 1]


def run_trials(trials: Sequence[Trial], ledger: Ledger) -> list[Entry]:
    """The Fréchet distance of every candidate.

    Args:
        trials: in their order.
        ledger: keeps what is measured: no candidate is tried again.

    Returns:
        Entries of ``rival``, ``changes``, ``effort`` and ``fd``, one for each trial.
    """

    def job(trial: Trial) -> Job:
        return Job(
            {"rival": trial.rival, "changes": dict(trial.changes), "effort": dict(trial.effort)},
            lambda: {"fd": trial.measure()},
            lambda entry: f"{trial.rival} {dict(trial.changes)}: {entry['fd']:.2f}",
        )

    return ledger.fill([job(trial) for trial in trials], "tuning rivals", "candidates")


def chosen(candidates: Candidates, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """The best changes of every rival: the only ones, or those of the least distance."""
    best = {}
    for name, several in candidates.items():
        measured = [e for e in entries if e["rival"] == name]
        winner = min(measured, key=lambda e: e["fd"])["changes"] if measured else several[0]
        best[name] = dict(winner)
    return best

"""A joint search: points that Optuna proposes, for fidelity, utility and novelty at once.

The ledger is the only store: the study is rebuilt from its entries whenever a point is proposed.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from threading import Lock
from typing import Any, Literal

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState, create_trial

from hvrt_diffuser.common import interruption
from hvrt_diffuser.common.engine import current
from hvrt_diffuser.common.interruption import ending_together
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.experiments.jobs import Job
from hvrt_diffuser.experiments.ledger import PATIENCE, Entry
from hvrt_diffuser.experiments.runner import Item, Runner
from hvrt_diffuser.experiments.workers import Shared, run_jobs

__all__ = ["OBJECTIVES", "confirmations", "importances", "pareto_front", "search", "spread"]

OBJECTIVES: dict[str, Literal["minimize", "maximize"]] = {
    "fd_classifier": "minimize",
    "tstr": "maximize",
    "dcr_image": "maximize",
}
PROPOSALS = 50  # of points that are known, before any point that is not is taken

Point = Mapping[str, Any]


def search(runner: Runner, jobs: Sequence[Job], trials: int, seed: int) -> list[Entry]:
    """Measure until so many different points are there.

    Proposals are those of the tree-structured Parzen estimator (Ozaki et al. 2022, for several
    objectives). Processes may share a search: each leaves to the others what they are at, waits
    for it in the end, and gives the same.

    Args:
        runner: measures the points.
        jobs: of :func:`hvrt_diffuser.experiments.jobs.space_of`.
        trials: different points in the end, those that the ledger holds among them.
        seed: of the proposals.

    Returns:
        The entries of all points that are there, in the order of the space.
    """
    runner.check(jobs)
    engine, total = current(), min(trials, len(jobs))
    with progress("searching", total, "points") as advance:
        points = _Points(runner, jobs, total, seed, advance)
        if engine.folder is None:
            points.measure(lambda place: runner.ledger.measured(points.works[place]))
        else:
            shared = Shared(runner)

            def on_a_worker(place: int) -> None:
                item = Item(jobs[place], floors=False)
                shared.measure_now([(points.works[place], item.dumped())])

            with engine.callers(runner.device) as pool:
                threads = engine.threads(runner.device)
                futures = [pool.submit(points.measure, on_a_worker) for _ in range(threads)]
                with ending_together(lambda: pool.shutdown(cancel_futures=True)):
                    for future in as_completed(futures):
                        future.result()
    return run_jobs(runner, [jobs[i] for i in points.found()], "floors of the points")


class _Points:
    """The points of a search: those that are there, and the next one to measure."""

    def __init__(
        self,
        runner: Runner,
        jobs: Sequence[Job],
        total: int,
        seed: int,
        advance: Callable[[str], None],
    ) -> None:
        self.jobs, self.total, self.seed, self.advance = jobs, total, seed, advance
        self.ledger, self.works = runner.ledger, [runner.work(job) for job in jobs]
        self._counted, self._lock = 0, Lock()

    def found(self) -> dict[int, Entry]:
        """The entries that are there, by the place of their point."""
        known = {i: self.ledger.known(work) for i, work in enumerate(self.works)}
        found = {i: entry for i, entry in known.items() if entry is not None}
        with self._lock:
            for _ in range(min(self.total, len(found)) - self._counted):
                self.advance("")
            self._counted = max(self._counted, min(self.total, len(found)))
        return found

    def measure(self, measured: Callable[[int], object]) -> None:
        """Have points measured, by their place, that nobody is at, until enough are there."""
        while len(found := self.found()) < self.total:
            under_way: list[int] = []
            while len(found) + len(under_way) < self.total:
                place = _propose(self.jobs, found, under_way, self.seed)
                with self.ledger.turn(self.works[place].identity) as free:
                    if free:
                        measured(place)
                        break
                under_way.append(place)
            else:
                interruption.check()
                time.sleep(PATIENCE)


def _propose(
    jobs: Sequence[Job], found: Mapping[int, Entry], under_way: Sequence[int], seed: int
) -> int:
    """The place of a point that is neither measured nor under way.

    It depends on the points that are there, and not on how often a search was cut off.
    """
    points = [job.values for job in jobs]
    free = [i for i in range(len(points)) if i not in found and i not in under_way]
    known = [(points[i], entry) for i, entry in found.items()]
    study = _study(points, known, OBJECTIVES, [points[i] for i in under_way])
    for proposal in range(PROPOSALS):
        own = derive_seed(seed, "search", len(found) + len(under_way), proposal)
        study.sampler = optuna.samplers.TPESampler(
            seed=own % 2**32, multivariate=True, constant_liar=True
        )
        asked = study.ask(_distributions(points)).params
        place = points.index(asked)
        if place in free:
            return place
    return free[derive_seed(seed, "search", len(found)) % len(free)]


def _distributions(points: Sequence[Point]) -> dict[str, Any]:
    return {
        key: CategoricalDistribution(list(dict.fromkeys(point[key] for point in points)))
        for key in points[0]
    }


def _study(
    points: Sequence[Point],
    known: Sequence[tuple[Point, Mapping[str, Any]]],
    directions: Mapping[str, Literal["minimize", "maximize"]],
    under_way: Sequence[Point] = (),
) -> optuna.Study:
    """A study in memory of what was measured and of what is under way."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Constant liars are experimental, which is nothing that a run can act on.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    study = optuna.create_study(directions=list(directions.values()))
    of: dict[str, Any] = {"distributions": _distributions(points)}
    study.add_trials(
        [
            create_trial(params=dict(point), values=[entry[k] for k in directions], **of)
            for point, entry in known
        ]
        + [create_trial(state=TrialState.RUNNING, params=dict(p), **of) for p in under_way]
    )
    return study


def importances(entries: Sequence[Entry], seed: int) -> dict[str, dict[str, float]]:
    """The share of the variance of each objective that each option explains.

    The seed is one of them, where there are several. By functional ANOVA (Hutter et al. 2014), as
    Optuna has it. Empty where there is no variance, or a single point.

    Args:
        entries: of a grid.
        seed: of the forests.
    """
    points = [
        {k: _category(v) for k, v in entry["values"].items()} | {"seed": entry["repetition"]}
        for entry in entries
    ]
    if len({point["seed"] for point in points}) == 1:
        points = [{k: v for k, v in point.items() if k != "seed"} for point in points]
    found = {}
    for name, direction in OBJECTIVES.items():
        values = [entry[name] for entry in entries]
        if len(values) > 1 and max(values) > min(values):
            study = _study(points, list(zip(points, entries, strict=True)), {name: direction})
            found[name] = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
            )
    return found


def _category(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def pareto_front(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that no other is better than in all objectives."""
    losses = [[_loss(name, entry) for name in OBJECTIVES] for entry in entries]
    return [
        entry
        for entry, own in zip(entries, losses, strict=True)
        if not any(
            all(a <= b for a, b in zip(other, own, strict=True)) and other != own
            for other in losses
        )
    ]


def spread(front: Sequence[Entry], n: int) -> list[Entry]:
    """Of a front n that differ: the best in each objective, in turn."""
    orders = [sorted(front, key=lambda entry: _loss(name, entry)) for name in OBJECTIVES]
    turns = itertools.chain.from_iterable(zip(*orders, strict=True))
    chosen: list[Entry] = []
    for entry in turns:
        if entry not in chosen and len(chosen) < n:
            chosen.append(entry)
    return chosen


def _loss(name: str, entry: Entry) -> float:
    value: float = entry[name]
    return value if OBJECTIVES[name] == "minimize" else -value


def confirmations(jobs: Sequence[Job], front: Sequence[Entry], seeds: int) -> list[Job]:
    """Jobs of the points of entries, with seeds that the search has not seen."""
    chosen = [job for job in jobs if any(job.values == entry["values"] for entry in front)]
    return [job.again(1 + k) for job in chosen for k in range(seeds)]

"""From options to the table of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.jobs import expand, groups_of, space_of
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions
from hvrt_diffuser.experiments.runner import Runner
from hvrt_diffuser.experiments.search import (
    confirmations,
    importances,
    pareto_front,
    search,
    spread,
)
from hvrt_diffuser.experiments.tables import floors, summarise
from hvrt_diffuser.experiments.tuning import tune
from hvrt_diffuser.experiments.warm_start import WarmStartRunner
from hvrt_diffuser.experiments.workers import run_jobs

__all__ = ["run_experiment"]


def run_experiment(
    name: str,
    train: LabelledImages,
    test: LabelledImages,
    judge: Classifier,
    autoencoder: Autoencoder,
    base: BaseOptions,
    options: ExperimentOptions,
    folder: Path,
) -> dict[str, Any]:
    """Measure all jobs of an experiment that are not measured yet, and tabulate them.

    Any number of processes may do so at once: they share the work.

    Args:
        name: of the experiment, for errors.
        train: training images.
        test: test images.
        judge: gives the features of the Fréchet distance.
        autoencoder: the run's own.
        base: what no job changes.
        options: the jobs.
        folder: of the ledger, of autoencoders and of trainings that were cut off.

    Returns:
        JSON: ``n``, ``n_test``, ``autoencoder``, ``judge``, ``machine``, ``floors`` and ``rows``;
        where there is something to say, ``candidates``, ``importance`` of the options of a grid,
        and ``front`` of a search.

    Raises:
        InputError: a job that cannot be made, before anything is measured.
    """
    kind = WarmStartRunner if any(g.start for g in groups_of(name, options).values()) else Runner
    runner = kind(train, test, judge, autoencoder, base, options, folder)
    found: dict[str, Any] = {
        "n": options.n,
        "n_test": len(test),
        "autoencoder": autoencoder.fingerprint(),
        "judge": judge.fingerprint(),
        "machine": describe_machine(),
    }
    if options.search is not None:
        jobs = space_of(name, options, base)
        entries = search(runner, jobs, options.search.trials, base.seed)
        front = pareto_front(entries)
        again = confirmations(jobs, spread(front, options.search.confirmed), options.seeds)
        found |= {"front": summarise(front), "importance": importances(entries, base.seed)}
        return {**found, "rows": summarise(run_jobs(runner, again, "measuring the best again"))}
    runner.check(expand(name, options, base))
    chosen, candidates = tune(name, train, judge, autoencoder, base, options, folder)
    jobs = expand(name, options, base, chosen)
    entries = run_jobs(runner, jobs, f"measuring {name}")
    if candidates:
        found["candidates"] = candidates
    if any(job.values for job in jobs) and len({job.group for job in jobs}) == 1:
        found["importance"] = importances(entries, base.seed)
    return {**found, "floors": floors(entries), "rows": summarise(entries)}

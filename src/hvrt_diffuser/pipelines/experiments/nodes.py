"""Nodes of experiments."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import (
    LikelihoodRunner,
    expand,
    plot_frontier,
    plot_likelihoods,
    plot_rivals,
    plot_sweep,
    run_experiment,
    show_likelihoods,
    tabulate_likelihoods,
)
from hvrt_diffuser.pipelines.experiments.parameters import (
    LIKELIHOODS,
    BaseOptions,
    ExperimentOptions,
    LikelihoodOptions,
    check_sweeps,
)

__all__ = [
    "collect_sweeps",
    "draw_bounds",
    "draw_picture",
    "measure_jobs",
    "measure_likelihoods",
    "measure_sweep",
    "show_images",
    "tabulate_rows",
]

Table = dict[str, Any]


def measure_jobs(
    images_train: LabelledImages,
    images_test: LabelledImages,
    autoencoder: Autoencoder,
    classifier: Classifier,
    options: ExperimentOptions,
    base: BaseOptions,
    folder: Path,
    *,
    name: str,
) -> Table:
    """The table of an experiment; any number of processes may share its jobs."""
    return run_experiment(
        name, images_train, images_test, classifier, autoencoder, base, options, folder
    )


def measure_sweep(
    images_train: LabelledImages,
    images_test: LabelledImages,
    autoencoder: Autoencoder,
    classifier: Classifier,
    options: ExperimentOptions,
    base: BaseOptions,
    folder: Path,
    *,
    name: str,
    group: str,
) -> Table:
    """The table of one group of the jobs of ``hpo``.

    Raises:
        InputError: another group than a sweep, or a job of any of them that cannot be made.
    """
    check_sweeps(name, options)
    expand(name, options, base)  # of all groups: the last may be hours away
    alone = options.model_copy(update={"jobs": {group: options.jobs.get(group)}})
    return measure_jobs(
        images_train, images_test, autoencoder, classifier, alone, base, folder, name=name
    )


def collect_sweeps(*tables: Table, names: Sequence[str]) -> Table:
    """The tables of all sweeps, by name."""
    return dict(zip(names, tables, strict=True))


def tabulate_rows(table: Table) -> pd.DataFrame:
    """The rows as a table: a column of milliseconds for each batch, what is nested as JSON."""
    rows = [
        {k: json.dumps(v, sort_keys=True) if k in ("of", "values") else v for k, v in row.items()}
        for row in table["rows"]
    ]
    return pd.json_normalize(rows, sep="_").convert_dtypes()


def draw_picture(table: Table, *, kind: str) -> Figure:
    """The picture of a table: ``frontier``, ``rivals`` or ``sweep``."""
    if kind == "frontier":
        return plot_frontier(table["rows"], table["floors"])
    if kind == "rivals":
        return plot_rivals(table["rows"])
    return plot_sweep(table["rows"], table.get("importance"))


def measure_likelihoods(
    images_train: LabelledImages,
    images_test: LabelledImages,
    options: LikelihoodOptions,
    base: BaseOptions,
    folder: Path,
) -> Table:
    """The table of bounds; any number of processes may share its jobs."""
    return tabulate_likelihoods(_runner(images_train, images_test, options, base, folder))


def draw_bounds(table: Table) -> Figure:
    """The picture of the table of bounds."""
    return plot_likelihoods(table["rows"])


def show_images(
    images_train: LabelledImages,
    images_test: LabelledImages,
    options: LikelihoodOptions,
    base: BaseOptions,
    folder: Path,
    table: Table,
) -> Figure:
    """What the models of the table drew, which the ledger has kept."""
    return show_likelihoods(_runner(images_train, images_test, options, base, folder).pictures())


def _runner(
    train: LabelledImages,
    test: LabelledImages,
    options: LikelihoodOptions,
    base: BaseOptions,
    folder: Path,
) -> LikelihoodRunner:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return LikelihoodRunner(LIKELIHOODS, train, test, base, options, folder, command)

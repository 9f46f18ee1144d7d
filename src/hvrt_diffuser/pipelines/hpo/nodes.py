"""Nodes of ``hpo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.devices import resolve_device
from hvrt_diffuser.images import LabelledImages, fingerprint
from hvrt_diffuser.machine import describe_machine
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.hpo.parameters import SWEEPS, Axes, HPOOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import HVRTFittingOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.sweeps import (
    AutoencoderStore,
    Bench,
    Blocks,
    Grid,
    Sweep,
    importances,
    plot_sweep,
    summarise_points,
)

__all__ = ["collect_sweeps", "plot_points", "run_sweep"]


def run_sweep(
    images_train: LabelledImages,
    images_test: LabelledImages,
    classifier: Classifier,
    training: AETrainingOptions,
    hvrt: HVRTFittingOptions,
    tstr: TSTROptions,
    options: HPOOptions,
    axes: Axes,
    seed: int,
    device: str,
    autoencoders: Path,
    database: Path,
) -> dict[str, Any]:
    """Measure every point that is not measured yet, and tabulate all of them.

    Any number of processes may run it at once: they share the points.
    """
    where = resolve_device(options.device or device)
    blocks = Blocks(training, hvrt).at(options.base)
    for name, each in options.grids().items():  # of all sweeps: the last may be hours away
        blocks.check(name, each)
    grid = Grid({name: list(values) for name, values in axes.items()}, options.seeds)
    setting = {
        "ae_training": blocks.ae_training.model_dump(exclude={"device"}),
        "hvrt_fitting": blocks.hvrt_fitting.model_dump(),
        "classifier": tstr.classifier.model_dump(),
        "judge": classifier.fingerprint(),
        "images": [fingerprint(images_train), fingerprint(images_test)],
        **options.model_dump(include={"n", "compared", "classifiers"}),
        "seed": seed,
    }
    bench = Bench(
        images_train,
        images_test,
        classifier,
        AutoencoderStore(autoencoders, images_train, where),
        blocks,
        tstr.classifier,
        n=options.n,
        compared=options.compared,
        classifiers=options.classifiers,
        seed=seed,
        device=where,
    )
    storage = options.storage or f"sqlite:///{database}"
    sweep = Sweep.open(storage, " x ".join(axes), grid, setting)
    measured = sweep.run(bench.measure)
    return {
        "setting": setting,
        "machine": describe_machine(),
        "rows": summarise_points(measured),
        "importance": importances(sweep, seed),
    }


def plot_points(sweep: dict[str, Any]) -> Figure:
    """The picture of a sweep's table."""
    return plot_sweep(sweep["rows"], sweep["importance"])


def collect_sweeps(*sweeps: dict[str, Any]) -> dict[str, Any]:
    """The tables of all sweeps by name, in the order of their parameters."""
    return dict(zip(SWEEPS, sweeps, strict=True))

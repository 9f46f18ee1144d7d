"""Nodes of ``hpo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.data.images import LabelledImages
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

__all__ = ["collect_sweeps", "make_bench", "plot_points", "run_sweep"]


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
    blocks = Blocks(training, hvrt).at(options.base)
    grid = Grid({name: list(values) for name, values in axes.items()}, options.seeds)
    for name, each in {**options.grids(), " x ".join(axes): grid}.items():
        blocks.check(name, each)  # of all sweeps: the last may be hours away
    bench = make_bench(
        (images_train, images_test),
        classifier,
        blocks,
        tstr,
        options,
        seed,
        resolve_device(options.device or device),
        autoencoders,
    )
    sweep = Sweep.open(
        options.storage or f"sqlite:///{database}",
        " x ".join(axes),
        grid,
        bench.setting,
        database.with_suffix(".lock"),
    )
    measured = sweep.run(bench.measure)
    return {
        "setting": bench.setting,
        "machine": describe_machine(),
        "rows": summarise_points(measured),
        "importance": importances(sweep.study, seed),
    }


def make_bench(
    images: tuple[LabelledImages, LabelledImages],
    classifier: Classifier,
    blocks: Blocks,
    tstr: TSTROptions,
    options: HPOOptions,
    seed: int,
    device: torch.device,
    autoencoders: Path,
) -> Bench:
    """What measures points as the parameters say; images are those of training and of testing."""
    train, test = images
    return Bench(
        train,
        test,
        classifier,
        AutoencoderStore(autoencoders, train, device),
        blocks,
        tstr.classifier,
        n=options.n,
        compared=options.compared,
        classifiers=options.classifiers,
        seed=seed,
        device=device,
    )


def plot_points(sweep: dict[str, Any]) -> Figure:
    """The picture of a sweep's table."""
    return plot_sweep(sweep["rows"], sweep["importance"])


def collect_sweeps(*sweeps: dict[str, Any]) -> dict[str, Any]:
    """The tables of all sweeps by name, in the order of their parameters."""
    return dict(zip(SWEEPS, sweeps, strict=True))

"""Nodes of ``report``."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic_core import to_jsonable_python

from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.pipelines.ae_training.nodes import plot_training_curves
from hvrt_diffuser.pipelines.parameters import DERIVED
from hvrt_diffuser.pipelines.tstr.nodes import plot_tstr
from hvrt_diffuser.report import Picture, compose, draw_pictures, render_page

__all__ = ["compose_report", "draw", "write_page"]

Pictures = dict[str, list[Picture]]


def compose_report(
    synthetic_images: LabelledImages,
    images_train: LabelledImages,
    evaluation_metrics: dict[str, Any],
    tstr_metrics: dict[str, Any] | None,
    data_look: dict[str, Any] | None,
    stages: dict[str, Any] | None,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the page says, as JSON."""
    plain = to_jsonable_python({k: v for k, v in parameters.items() if k not in DERIVED})
    return compose(
        evaluation_metrics,
        tstr_metrics,
        synthetic_images,
        images_train,
        run_name=plain["run_name"],
        parameters=plain,
        stages=stages or {},
        machine=describe_machine(),
        look=data_look,
    )


def draw(
    synthetic_images: LabelledImages,
    images_train: LabelledImages,
    images_test: LabelledImages,
    generator: HVRTDiffuser,
    evaluation_metrics: dict[str, Any],
    seed: int,
    device: str,
) -> tuple[Pictures | Figure, ...]:
    """The pictures of the page by section, and one by one."""
    pictures = draw_pictures(
        synthetic_images,
        images_train,
        images_test,
        generator,
        evaluation_metrics,
        seed=seed,
        device=resolve_device(device),
    )
    return (
        pictures,
        *(picture.figure for picture in pictures["images"]),
        *(pictures[name][0].figure for name in ("nearest", "frontier", "fidelity", "marginals")),
    )


def write_page(
    report_metrics: dict[str, Any],
    pictures: Pictures,
    training_history: pd.DataFrame,
    tstr_metrics: dict[str, Any] | None,
) -> str:
    """The page, with the pictures of other stages among its own."""
    charts = _charts(training_history, tstr_metrics)
    return render_page(report_metrics, {**pictures, **{k: [v] for k, v in charts.items()}})


def _charts(history: pd.DataFrame, tstr: dict[str, Any] | None) -> dict[str, Picture]:
    """The pictures of other stages."""
    last = history.iloc[-1]
    charts = {
        "training": Picture(
            plot_training_curves(history),
            "The loss of the autoencoder in training.",
            f"The training loss falls from {history['train_loss'].iloc[0]:.1f} to "
            f"{last['train_loss']:.1f} nats per image in {int(last['epoch']):,} epochs.",
        )
    }
    if tstr:
        words = "; ".join(
            f"{row['row']}, {row['n']:,} images: {row['mean']:.2f}%" for row in tstr["rows"]
        )
        charts["utility"] = Picture(
            plot_tstr(tstr),
            "Errors on real test images: a point per seed, and a line at their mean.",
            f"Accuracy by training images. {words}.",
        )
    return charts

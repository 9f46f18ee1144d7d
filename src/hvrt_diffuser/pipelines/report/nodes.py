"""Nodes of ``report``."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.ae_training.nodes import plot_training_curves
from hvrt_diffuser.pipelines.tstr.nodes import plot_tstr
from hvrt_diffuser.report import Picture, compose, draw_pictures, render_page
from hvrt_diffuser.samplers import LatentSampler

__all__ = ["write_report"]


def write_report(
    synthetic_images: LabelledImages,
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    latent_sampler: LatentSampler,
    autoencoder: Autoencoder,
    training_history: pd.DataFrame,
    evaluation_metrics: dict[str, Any],
    tstr_metrics: dict[str, Any] | None,
    stages: dict[str, Any] | None,
    parameters: dict[str, Any],
) -> tuple[str | dict[str, Any] | Figure, ...]:
    """The page, the same as JSON, and its pictures one by one."""
    plain: dict[str, Any] = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in parameters.items()
    }
    report = compose(
        evaluation_metrics,
        tstr_metrics,
        synthetic_images,
        images_train,
        images_test,
        run_name=plain["run_name"],
        parameters=plain,
        stages=stages or {},
        machine=describe_machine(),
    )
    draws, _ = latent_sampler.sample(
        len(synthetic_images), generator=generator(plain["seed"], "report", "latents")
    )
    pictures = draw_pictures(
        synthetic_images,
        (images_train, table_to_latents(latents_train)[0]),
        (images_test, table_to_latents(latents_test)[0]),
        draws,
        autoencoder,
        evaluation_metrics,
        _charts(training_history, tstr_metrics),
        device=resolve_device(plain["device"]),
    )
    return (
        render_page(report, pictures),
        report,
        *(picture.figure for picture in pictures["images"]),
        *(pictures[name][0].figure for name in ("nearest", "frontier", "fidelity", "marginals")),
    )


def _charts(history: pd.DataFrame, tstr: dict[str, Any] | None) -> dict[str, Picture]:
    """The pictures of other stages."""
    last = history.iloc[-1]
    charts = {
        "training": Picture(
            plot_training_curves(history),
            "The loss of the autoencoder in training.",
            f"The training loss falls from {history['train_loss'].iloc[0]:.1f} to "
            f"{last['train_loss']:.1f} nats per image in {len(history)} epochs.",
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

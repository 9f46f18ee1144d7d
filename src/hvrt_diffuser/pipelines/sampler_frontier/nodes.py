"""Nodes of ``sampler_frontier``."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier import (
    VERSIONS,
    measure_frontier,
    plot_frontier_of_samplers,
    summarise,
)
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import FlowOptions, HVRTFittingOptions
from hvrt_diffuser.pipelines.latent_encoding.parameters import LatentEncodingOptions
from hvrt_diffuser.pipelines.sampler_frontier.parameters import FrontierOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.yardsticks import yardstick_of
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["compare_samplers", "plot_samplers"]


def compare_samplers(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    autoencoder: Autoencoder,
    classifier: Classifier,
    hvrt: HVRTFittingOptions,
    flow: FlowOptions,
    encoding: LatentEncodingOptions,
    tstr: TSTROptions,
    options: FrontierOptions,
    seed: int,
    device: str,
    checkpoint: Checkpoint,
) -> dict[str, Any]:
    """Fidelity, novelty and utility of every sampler at every strength."""
    setting = {
        # Neither points nor seeds: what is there is kept, and what is new is added.
        "n": options.n,
        "compared": options.compared,
        "hvrt_fitting": hvrt.model_dump_json(),
        "flow": flow.model_dump_json(),
        "augmentation": encoding.augmentation.model_dump_json(),
        "versions": VERSIONS,
        "tstr.classifier": tstr.classifier.model_dump_json(),
        "autoencoder": autoencoder.fingerprint(),
        "classifier": classifier.fingerprint(),
        "seed": seed,
    }
    kept = checkpoint.read(setting)
    yardstick = yardstick_of(
        (images_train, images_test),
        (latents_train, latents_test),
        autoencoder,
        classifier,
        options,
        resolve_device(options.device or device),
    )

    def keep(entries: list[dict[str, Any]]) -> None:
        checkpoint.write({"n": torch.tensor(len(entries))}, {"entries": entries}, setting)

    entries = measure_frontier(
        yardstick,
        {str(name): strengths for name, strengths in options.points.items()},
        hvrt,
        flow,
        encoding.augmentation,
        tstr.classifier,
        seeds=options.seeds,
        seed=seed,
        done=kept[1]["entries"] if kept else (),
        keep=keep,
    )
    return {
        "n": options.n,
        "n_test": len(images_test),
        "autoencoder": autoencoder.fingerprint(),
        "hvrt": hvrt.model_dump(),
        "flow": flow.model_dump(exclude={"strength"}),
        "augmentation": encoding.augmentation.model_dump(exclude={"copies"}),
        "machine": describe_machine(),
        "rows": summarise(entries),
    }


def plot_samplers(frontier: dict[str, Any]) -> Figure:
    """The picture of the table."""
    return plot_frontier_of_samplers(frontier["rows"])

"""Nodes of ``benchmark``."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.checkpoint import Checkpoint
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.datasets.latents import table_to_latents
from hvrt_diffuser.devices import resolve_device
from hvrt_diffuser.frontier import Yardstick
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.machine import describe_machine
from hvrt_diffuser.pipelines.benchmark.parameters import BenchmarkOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import FlowOptions, HVRTFittingOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.rivals import Shared, measure_rivals, plot_rivals, summarise

__all__ = ["compare_rivals", "plot_comparison"]


def compare_rivals(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    autoencoder: Autoencoder,
    classifier: Classifier,
    hvrt: HVRTFittingOptions,
    flow: FlowOptions,
    tstr: TSTROptions,
    options: BenchmarkOptions,
    seed: int,
    device: str,
    checkpoint: Checkpoint,
) -> dict[str, Any]:
    """Fidelity, utility, novelty, time, memory and size of every rival."""
    setting = {
        # Neither rivals nor seeds: what is there is kept, and what is new is added.
        "n": options.n,
        "compared": options.compared,
        "components": options.components,
        "hvrt_fitting": hvrt.model_dump_json(),
        "flow": flow.model_dump_json(),
        "tstr.classifier": tstr.classifier.model_dump_json(),
        "autoencoder": autoencoder.fingerprint(),
        "classifier": classifier.fingerprint(),
        "seed": seed,
    }
    kept = checkpoint.read(setting)
    yardstick = Yardstick(
        (images_train, table_to_latents(latents_train)[0]),
        (images_test, table_to_latents(latents_test)[0]),
        autoencoder,
        classifier,
        n=options.n,
        compared=options.compared,
        device=resolve_device(options.device or device),
    )

    def keep(entries: list[dict[str, Any]]) -> None:
        checkpoint.write({"n": torch.tensor(len(entries))}, {"entries": entries}, setting)

    entries = measure_rivals(
        yardstick,
        options.rivals,
        Shared(hvrt, flow, options.components),
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
        "floors": yardstick.floors(seed),
        "machine": describe_machine(),
        "rows": summarise(entries),
    }


def plot_comparison(benchmark: dict[str, Any]) -> Figure:
    """The picture of the table."""
    return plot_rivals(benchmark["rows"])

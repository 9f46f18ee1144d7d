"""Nodes of ``phase3``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents, train_autoencoder
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.rows import even_labels
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import HVRTFittingOptions
from hvrt_diffuser.pipelines.phase3.parameters import WarmStartOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.yardsticks import yardstick_of
from hvrt_diffuser.samplers import LatentSampler, SmoothedBootstrap
from hvrt_diffuser.sweeps import Measured, plot_sweep, summarise_points
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = [
    "collect_generators",
    "fine_tune",
    "measure_generator",
    "plot_generators",
    "refit",
    "take_known",
]


def take_known(
    images_train: LabelledImages, options: WarmStartOptions, seed: int
) -> LabelledImages:
    """The share of each class that is seen at first, in the order of all images."""
    order = torch.randperm(len(images_train), generator=generator(seed, "phase3", "known"))
    kept = []
    for c in range(len(images_train.class_names)):
        rows = order[images_train.labels[order] == c]
        kept.append(rows[: max(1, round(options.known * len(rows)))])
    return images_train[torch.cat(kept).sort().values]


def fine_tune(
    images_train: LabelledImages,
    known: Autoencoder,
    training: AETrainingOptions,
    options: WarmStartOptions,
    seed: int,
    device: str,
    checkpoint: Checkpoint,
) -> Autoencoder:
    """The autoencoder of the known images, trained on all of them for a few epochs."""
    changes = {"epochs": options.epochs, "learning_rate": options.learning_rate}
    tuned, _ = train_autoencoder(
        images_train.images,
        training.model_copy(update=changes),
        seed=derive_seed(seed, "phase3", "tune"),
        device=resolve_device(options.device or device),
        checkpoint=checkpoint,
        start=known,
    )
    return tuned


def refit(
    latents_train: pd.DataFrame, known: LatentSampler, hvrt: HVRTFittingOptions, seed: int
) -> LatentSampler:
    """The trees of the known images with the latents of all of them.

    Raises:
        InputError: the sampler is not HVRT's.
    """
    if not isinstance(known, SmoothedBootstrap):
        raise InputError(
            f"the sampler is a {known.origin['sampler']}, which has no trees to keep, expected "
            "HVRT's: run phase3 with generation.sampler=hvrt"
        )
    latents, labels = table_to_latents(latents_train)
    fitted = hvrt.refit(known, latents, labels, seed=seed)
    fingerprint = latents_train.attrs.get("autoencoder")
    return replace(fitted, origin=fitted.origin | {"autoencoder": fingerprint})


def measure_generator(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    autoencoder: Autoencoder,
    latent_sampler: LatentSampler,
    classifier: Classifier,
    tstr: TSTROptions,
    options: WarmStartOptions,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """A generator's draws of all classes, and its draws of given classes.

    ``agreement`` is the share of draws of given classes, even by class, in which the judge sees the
    class that was asked for.
    """
    where = resolve_device(options.device or device)
    yardstick = yardstick_of(
        (images_train, images_test),
        (latents_train, latents_test),
        autoencoder,
        classifier,
        options,
        where,
    )
    sampler = latent_sampler.to(where)
    measured: Measured = []
    for conditional in (False, True):
        for repetition in range(options.seeds):
            own_seed = derive_seed(seed, "phase3", repetition)
            score = yardstick.score(
                sampler, tstr.classifier, classifiers=1, seed=own_seed, conditional=conditional
            )
            measured.append(({"conditional": conditional, "seed": repetition}, score))
    wanted = even_labels(options.n, latent_sampler.n_classes)
    start = time.perf_counter()
    source = generator(seed, "phase3", "agreement", device=where)
    latents, _ = sampler.sample(options.n, wanted.to(where), generator=source)
    images = decode_latents(autoencoder, latents, where)
    seconds = time.perf_counter() - start
    _, probabilities = classify(classifier, images, where)
    return {
        "agreement": (probabilities.argmax(1) == wanted).double().mean().item(),
        "seconds": seconds,
        "floors": yardstick.floors(seed),
        "rows": summarise_points(measured),
    }


def collect_generators(
    known: dict[str, Any], warm: dict[str, Any], cold: dict[str, Any]
) -> dict[str, Any]:
    """The tables of the generator of some images, of its warm start, and of one of all images."""
    return {"machine": describe_machine(), "known": known, "warm": warm, "cold": cold}


def plot_generators(table: dict[str, Any]) -> Figure:
    """Fidelity, utility and novelty of the three generators."""
    rows = [
        {
            **row,
            "copy_floor": table[name]["floors"]["copy_floor"],
            "values": {"generator": name, **row["values"]},
        }
        for name in ("known", "warm", "cold")
        for row in table[name]["rows"]
    ]
    return plot_sweep(rows)

"""Nodes of ``ae_training``."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hvrt_diffuser.autoencoders import Autoencoder, AutoencoderEstimator
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.figures import titled_figure
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions, BaselineOptions
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["plot_training_curves", "train", "train_vae"]


def train(
    images_train: LabelledImages, options: AETrainingOptions, seed: int, checkpoint: Checkpoint
) -> tuple[Autoencoder, pd.DataFrame]:
    """The chosen autoencoder, and its training by epoch."""
    return _fit(options.chosen, images_train, options, seed, checkpoint)


def train_vae(
    images_train: LabelledImages,
    options: AETrainingOptions,
    baseline: BaselineOptions,
    seed: int,
    checkpoint: Checkpoint,
) -> tuple[Autoencoder, pd.DataFrame]:
    """A VAE of the same options."""
    return _fit(options.vae(baseline.beta), images_train, options, seed, checkpoint)


def _fit(
    estimator: AutoencoderEstimator,
    images: LabelledImages,
    options: AETrainingOptions,
    seed: int,
    checkpoint: Checkpoint,
) -> tuple[Autoencoder, pd.DataFrame]:
    model, history = estimator.fit_together(
        images.images,
        seed=seed,
        device=resolve_device(options.device or "auto"),
        checkpoint=checkpoint,
    )
    return model, pd.DataFrame(history)


def plot_training_curves(history: pd.DataFrame) -> Figure:
    """Loss by epoch, with the KL term or the penalty where there is one."""
    figure = titled_figure("Training of the autoencoder", 6, 4)
    axes = figure.subplots()
    labels = {
        "train_loss": "training loss",
        "validation_loss": "validation loss",
        "train_nll": "reconstruction",
        "train_kl": "KL term, unweighted",
        "train_penalty": "penalty",
    }
    shown = ["train_loss", "validation_loss"]
    if "train_kl" in history and history["train_kl"].any():
        shown += ["train_nll", "train_kl"]
    if "train_penalty" in history:
        shown += ["train_nll", "train_penalty"]
    for column in shown:
        if column in history:
            axes.plot(history["epoch"], history[column], marker=".", label=labels[column])
    unit = "nats per image" if "train_nll" in history else "loss"
    axes.set(xlabel="epoch", ylabel=f"{unit}: less is better")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure

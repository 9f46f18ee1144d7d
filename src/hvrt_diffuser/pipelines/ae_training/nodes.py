"""Nodes of ``ae_training``."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hvrt_diffuser.autoencoders import Autoencoder, train_autoencoder
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["plot_training_curves", "train"]


def train(
    images_train: LabelledImages,
    options: AETrainingOptions,
    beta: float,
    seed: int,
    device: str,
    checkpoint: Checkpoint,
) -> tuple[Autoencoder, pd.DataFrame]:
    """Train an autoencoder; ``beta`` takes the place of the options' own.

    Above 0 its KL term also takes the place of a regulariser.
    """
    regulariser = None if beta else options.regulariser
    model, history = train_autoencoder(
        images_train.images,
        options.model_copy(update={"beta": beta, "regulariser": regulariser}),
        seed=seed,
        device=resolve_device(options.device or device),
        checkpoint=checkpoint,
    )
    return model, pd.DataFrame(history)


def plot_training_curves(history: pd.DataFrame) -> Figure:
    """Loss by epoch, with the KL term or the penalty where there is one."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    labels = {
        "train_loss": "training loss",
        "validation_loss": "validation loss",
        "train_nll": "reconstruction",
        "train_kl": "KL term, unweighted",
        "train_penalty": "penalty",
    }
    shown = ["train_loss", "validation_loss"]
    if history["train_kl"].any():
        shown += ["train_nll", "train_kl"]
    if "train_penalty" in history:
        shown += ["train_nll", "train_penalty"]
    for column in shown:
        if column in history:
            axes.plot(history["epoch"], history[column], marker=".", label=labels[column])
    axes.set(xlabel="epoch", ylabel="nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure

"""Nodes of ``tstr``."""

from __future__ import annotations

import statistics
from typing import Any

from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import classify, train_classifier
from hvrt_diffuser.devices import resolve_device
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.pipelines.ae_training.parameters import BaselineOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.tstr.rows import Row, all_images, decoded, equal_n
from hvrt_diffuser.progress import progress
from hvrt_diffuser.samplers import SmoothedBootstrap, StandardNormal, fit_posterior
from hvrt_diffuser.seeding import derive_seed

__all__ = ["plot_tstr", "train_synthetic_test_real"]


def train_synthetic_test_real(
    images_train: LabelledImages,
    images_test: LabelledImages,
    autoencoder: Autoencoder,
    latent_sampler: SmoothedBootstrap,
    vae: Autoencoder,
    vae_options: BaselineOptions,
    options: TSTROptions,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """Test accuracy in percent of classifiers trained on each row, over several repetitions.

    Every row gets the same network, hyperparameters and number of optimiser steps. A repetition
    has the same initial weights in every row and draws its images anew.
    """
    where = resolve_device(options.device or device)
    n, n_classes = options.n, len(images_train.class_names)
    posterior = fit_posterior(*encode_images(vae, images_train.images, where), images_train.labels)
    prior = StandardNormal(autoencoder.architecture.latent_dim, latent_sampler.counts)
    rows: dict[str, Row] = {
        "real_all": all_images(images_train),
        "real_equal_n": equal_n(images_train, n),
        "hvrt_conditional": decoded(autoencoder, latent_sampler, n, where),
        vae_options.name: decoded(vae, posterior, n, where),
        "random_decoded": decoded(autoencoder, prior, n, where),
    }
    accuracies: dict[str, list[float]] = {name: [] for name in rows}
    with progress("training on synthetic images", options.seeds * len(rows), "classifiers") as done:
        for repetition in range(options.seeds):
            own_seed = derive_seed(seed, "tstr", repetition)
            for name, row in rows.items():
                images, labels = row(own_seed)
                model = train_classifier(
                    images, labels, n_classes, options.classifier, seed=own_seed, device=where
                )
                _, probabilities = classify(model, images_test.images, where)
                correct = probabilities.argmax(1) == images_test.labels
                accuracies[name].append(100 * correct.double().mean().item())
                done(f"{name} {accuracies[name][-1]:.2f}%")
    return {
        "n": n,
        "n_all": len(images_train),
        "n_test": len(images_test),
        "seeds": options.seeds,
        "steps": options.classifier.steps,
        **{
            name: {
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values),
                "accuracies": values,
            }
            for name, values in accuracies.items()
        },
    }


def plot_tstr(tstr_metrics: dict[str, Any]) -> Figure:
    """The test error of each repetition of each row, and their mean."""
    rows = {name: row for name, row in tstr_metrics.items() if isinstance(row, dict)}
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows.values()):
        errors = [100 - accuracy for accuracy in row["accuracies"]]
        axes.plot(errors, [place] * len(errors), "o", alpha=0.5, color="C0")
        axes.plot(100 - row["mean"], place, "|", markersize=18, color="C1")
    names = [f"{name}\naccuracy {row['mean']:.2f} ± {row['std']:.2f}" for name, row in rows.items()]
    axes.set_yticks(range(len(rows)), names)
    axes.set_xscale("symlog", linthresh=1)  # chance is at 90%, what matters near 1%
    axes.set_xticks([0, 1, 2, 5, 10, 20, 50, 100], ["0", "1", "2", "5", "10", "20", "50", "100"])
    axes.set_xlim(0, 110)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"errors on {tstr_metrics['n_test']:,} real test images, %")
    axes.grid(axis="x", alpha=0.3)
    return figure

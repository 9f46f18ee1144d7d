"""Nodes of ``hvrt_fitting``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.catalog.latents import table_to_latents, table_to_versions
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.figures import titled_figure
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import ChosenSampler
from hvrt_diffuser.samplers import SmoothedBootstrap
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["describe_partition", "fit", "plot_partition"]


def fit(
    autoencoder: Autoencoder,
    images_train: LabelledImages,
    latents_train: pd.DataFrame,
    latents_augmented: pd.DataFrame,
    chosen: ChosenSampler,
    seed: int,
    checkpoint: Checkpoint,
) -> HVRTDiffuser:
    """The chosen sampler, which remembers what it was fitted on, and its autoencoder.

    A whole model is trained on the images, and has no use for the autoencoder. HVRT's trees are
    fitted on the CPU, and a network on the device.
    """
    estimator, device = chosen.estimator(), resolve_device(chosen.device)
    real = {"source": images_train.source, "classes": list(images_train.class_names)}
    if estimator.kind == "images":
        model = estimator.fit(
            images_train.images,
            images_train.labels,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
        )
        return HVRTDiffuser(autoencoder, replace(model, origin=model.origin | {"trained_on": real}))
    latents, labels = table_to_latents(latents_train)
    inputs: dict[str, Any] = {}
    if "augmented" in estimator.uses:
        inputs["augmented"] = table_to_versions(latents_augmented, labels)
    if "deviations" in estimator.uses:
        inputs["deviations"] = encode_images(autoencoder, images_train.images, device)[1]
    if estimator.network:
        latents = latents.to(device)
    fitted = estimator.fit(latents, labels, seed=seed, **inputs)
    encoder = latents_train.attrs.get("autoencoder")
    origin = fitted.origin | {"autoencoder": encoder, "trained_on": real}
    return HVRTDiffuser(autoencoder, replace(fitted, origin=origin))


def describe_partition(generator: HVRTDiffuser) -> pd.DataFrame:
    """A row per leaf: its fit, its rows, and the deviation of its noise averaged over dimensions.

    ``fit`` is ``all`` for the unconditional fit and the class for a fit of its own. A sampler
    without leaves has no rows here.
    """
    latent_sampler = generator.sampler
    if not isinstance(latent_sampler, SmoothedBootstrap):
        types = {"fit": "object", "leaf": "int64", "rows": "int64", "noise_deviation": "float32"}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
    tables = []
    for name, part in (
        ("all", latent_sampler.overall),
        ("class", latent_sampler.per_class),
    ):
        label = torch.zeros(part.n_leaves, dtype=torch.long)
        for leaf in part.leaf:
            label.scatter_(0, leaf, latent_sampler.labels)
        tables.append(
            pd.DataFrame(
                {
                    "fit": "all" if name == "all" else [str(i) for i in label.tolist()],
                    "leaf": range(part.n_leaves),
                    "rows": part.sizes.numpy(),
                    "noise_deviation": part.kernel.deviation().mean(dim=1).numpy(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def plot_partition(partition: pd.DataFrame) -> Figure:
    """How many training latents the leaves hold, and how wide their kernels are."""
    figure = titled_figure("The leaves that HVRT draws from", 9, 3.8)
    if partition.empty:
        figure.text(0.5, 0.5, "this sampler has no partition", ha="center", va="center")
        return figure
    sizes, scales = figure.subplots(1, 2)
    groups = {
        "all latents": partition[partition["fit"] == "all"],
        "a fit per class": partition[partition["fit"] != "all"],
    }
    most = int(partition["rows"].quantile(0.99))
    least = int(partition["rows"].min())
    bins = np.arange(
        least - 0.5, most + 1.5, max(1, most // 40)
    )  # the edges lie between whole numbers
    for name, leaves in groups.items():
        label = f"{name}: {len(leaves):,} leaves"
        sizes.hist(leaves["rows"].clip(upper=most), bins=bins, alpha=0.6, label=label)
        scales.hist(leaves["noise_deviation"], bins=40, alpha=0.6)
    sizes.set(xlabel="training latents in a leaf (the largest 1% in the last bar)", ylabel="leaves")
    scales.set(xlabel="deviation of the noise, latent units, mean over dimensions", ylabel="leaves")
    sizes.legend(frameon=False)
    return figure

"""Nodes of ``hvrt_fitting``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from hvrt_diffuser.catalog.latents import table_to_latents, table_to_versions
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import (
    FlowOptions,
    HVRTFittingOptions,
    SamplerName,
    choose_estimator,
)
from hvrt_diffuser.samplers import (
    HVRTEstimator,
    LatentSampler,
    SmoothedBootstrap,
    fit_augmented,
)

__all__ = ["describe_partition", "fit", "plot_partition"]


def fit(
    latents_train: pd.DataFrame,
    latents_augmented: pd.DataFrame,
    sampler: SamplerName,
    hvrt: HVRTFittingOptions,
    flow: FlowOptions,
    seed: int,
    device: str,
) -> LatentSampler:
    """The sampler of a name, which remembers whose latents it was fitted on.

    HVRT's trees are fitted on the CPU, and a flow is trained on the device.
    """
    estimator = choose_estimator(sampler, hvrt, flow)
    latents, labels = table_to_latents(latents_train)
    augmented = table_to_versions(latents_augmented, labels)
    if not isinstance(estimator, HVRTEstimator):
        latents = latents.to(resolve_device(device))
    fitted: Any = fit_augmented(estimator, latents, labels, augmented, seed=seed)
    return replace(
        fitted,
        origin=fitted.origin | {"autoencoder": latents_train.attrs.get("autoencoder")},
    )


def describe_partition(latent_sampler: LatentSampler) -> pd.DataFrame:
    """A row per leaf: its fit, its rows, and the deviation of its noise averaged over dimensions.

    ``fit`` is ``all`` for the unconditional fit and the class for a fit of its own. A flow has no
    leaves, and no rows here.
    """
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
    figure = Figure(figsize=(9, 3.5), layout="constrained")
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

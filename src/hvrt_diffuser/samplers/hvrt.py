"""HVRT: a tree partitions the latents, and each leaf brings a kernel of its own bandwidth."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from hvrt import FastHVRT
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.samplers.bootstrap import Kernel, Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.protocol import check_latents

__all__ = ["HVRTOptions", "fit_hvrt"]

MIN_DEVIATION = 0.01  # of a leaf, in units of the whole set's deviation; hvrt's own floor


class HVRTOptions(BaseModel):
    """How FastHVRT partitions the latents, and the kernel in its leaves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["epanechnikov", "bootstrap_noise"] = Field(
        description="the kernel: epanechnikov with Scott's bandwidth for the leaf's size, or "
        "Gaussian noise of a tenth of the leaf's deviation"
    )
    min_samples_leaf: int | None = Field(
        ge=1, description="latents in the smallest leaf; null is hvrt's own choice"
    )
    n_partitions: int | None = Field(
        ge=2, description="leaves at most, in each fit; null is hvrt's own choice"
    )


def fit_hvrt(latents: Tensor, labels: Tensor, options: HVRTOptions) -> SmoothedBootstrap:
    """Fit FastHVRT once on all latents and once on those of each class.

    Draws follow the semantics of ``hvrt.FastHVRT.expand``, except that leaves are drawn exactly in
    proportion to their sizes, where hvrt rounds its budgets.

    Args:
        latents: float32 (n, d).
        labels: int64 (n,), every class from 0 to k - 1.
        options: of the partition and the kernel.

    Raises:
        InputError: NaN or infinite latents, or a class with too few of them.
    """
    n_classes = check_latents(latents, labels)
    order = torch.argsort(labels, stable=True)
    latents, labels = latents[order], labels[order]
    counts = torch.bincount(labels, minlength=n_classes)
    least = max(2, options.min_samples_leaf or 0)
    if counts.min() < least:
        small = int(counts.argmin())
        raise InputError(
            f"class {small} has {int(counts[small])} latents, expected at least {least} for a fit "
            "of its own: add images of it, leave the class out, or lower "
            "hvrt_fitting.min_samples_leaf"
        )
    overall = _partition(latents, options)
    parts = [_partition(rows, options) for rows in latents.split(counts.tolist())]
    n_before = np.cumsum([0] + [len(part.scale) for part in parts[:-1]]).tolist()
    per_class = Neighbourhoods(
        torch.cat([part.leaf + n for part, n in zip(parts, n_before, strict=True)]),
        torch.cat([part.scale for part in parts]),
    )
    kernel: Kernel = "epanechnikov" if options.strategy == "epanechnikov" else "normal"
    origin = {"sampler": "FastHVRT", **options.model_dump()}
    return SmoothedBootstrap(latents, counts, overall, per_class, kernel, origin)


def _partition(latents: Tensor, options: HVRTOptions) -> Neighbourhoods:
    """One FastHVRT fit: the leaf of each row, and each leaf's noise scale in latent units."""
    model = FastHVRT(
        min_samples_leaf=options.min_samples_leaf, n_partitions=options.n_partitions
    ).fit(latents.double().numpy())
    leaf = np.unique(model.partition_ids_, return_inverse=True)[1]  # (n,), 0 ... k-1
    z = torch.from_numpy(model.X_z_)  # (n, d) float64, standardised
    d = z.shape[1]
    index = torch.from_numpy(leaf)
    sizes = torch.bincount(index).double()[:, None]  # (k, 1)
    mean = z.new_zeros(len(sizes), d).index_add_(0, index, z) / sizes
    residual = (z - mean[index]).square_()
    deviation = (residual.new_zeros(len(sizes), d).index_add_(0, index, residual) / sizes).sqrt_()
    deviation.clamp_(min=MIN_DEVIATION)
    factor = sizes ** (-1 / (d + 4)) if options.strategy == "epanechnikov" else 0.1
    scale = factor * deviation * torch.from_numpy(model.scaler_.scale_)
    return Neighbourhoods(index, scale.float())

"""Nodes of ``phase1``."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.phase1.parameters import PhaseOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.yardsticks import yardstick_of
from hvrt_diffuser.samplers import LatentSampler, SmoothedBootstrap, StandardNormal, fit_posterior
from hvrt_diffuser.sweeps import Measured, plot_sweep, summarise_points

__all__ = ["collect_models", "measure_model", "plot_models"]

ACTIVE = 0.01  # variance of a dimension's means above which it is in use (Burda et al. 2016)


def measure_model(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    latent_sampler: LatentSampler,
    model: Autoencoder,
    beta: float,
    classifier: Classifier,
    tstr: TSTROptions,
    options: PhaseOptions,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """HVRT on the latents of a model, beside the samplers of a VAE.

    ``prior`` decodes N(0, I). ``posterior``, of VAEs alone, encodes a training image with noise:
    the reparameterisation, of which every draw is near a training image.

    Raises:
        InputError: the sampler is not HVRT's.
    """
    if not isinstance(latent_sampler, SmoothedBootstrap):
        raise InputError(
            f"the sampler is a {latent_sampler.origin['sampler']}, expected HVRT's: run phase1 "
            "with generation.sampler=hvrt"
        )
    where = resolve_device(options.device or device)
    yardstick = yardstick_of(
        (images_train, images_test),
        (latents_train, latents_test),
        model,
        classifier,
        options,
        where,
    )
    samplers: dict[str, LatentSampler] = {
        "hvrt": latent_sampler,
        "prior": StandardNormal(model.architecture.latent_dim, latent_sampler.counts),
    }
    means, deviations = encode_images(model, images_train.images, where)
    if deviations is not None:
        samplers["posterior"] = fit_posterior(means, deviations, images_train.labels)
    measured: Measured = [
        (
            {"sampler": name, "seed": repetition},
            yardstick.score(
                sampler,
                tstr.classifier,
                classifiers=1,
                seed=derive_seed(seed, "phase1", repetition),
            ),
        )
        for name, sampler in samplers.items()
        for repetition in range(options.seeds)
    ]
    return {
        "beta": beta,
        "latent_dim": model.architecture.latent_dim,
        "active_units": int((yardstick.held_out.var(dim=0) > ACTIVE).sum()),
        "floors": yardstick.floors(seed),
        "rows": summarise_points(measured),
    }


def collect_models(*models: dict[str, Any]) -> dict[str, Any]:
    """The tables of all models."""
    return {"machine": describe_machine(), "models": list(models)}


def plot_models(table: dict[str, Any]) -> Figure:
    """Fidelity, utility and novelty of every model and sampler."""
    rows = [
        {
            **row,
            "copy_floor": model["floors"]["copy_floor"],
            "values": {"beta": model["beta"], **row["values"]},
        }
        for model in table["models"]
        for row in model["rows"]
    ]
    return plot_sweep(rows)

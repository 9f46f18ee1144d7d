"""Samplers side by side from Python: a table, and its picture."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder, AutoencoderEstimator, TrainingOptions
from hvrt_diffuser.classifiers import Classifier, JudgeOptions, train_judge
from hvrt_diffuser.common.bounds import MOST_IMAGES, MOST_SEED, whole_number
from hvrt_diffuser.common.devices import as_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.figures import label
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import MOST_COMPARED, Bench

__all__ = ["compare", "plot_comparison"]

MEASURED = ("fd_classifier", "precision", "recall", "dcr_image", "ks")
TEST_FRACTION = 0.2
FEWEST = 6  # draws that can be measured


def compare(
    samplers: Iterable[str | Any] | Mapping[str, Any],
    seeds: Iterable[int] = (0, 1, 2),
    *,
    train: LabelledImages,
    test: LabelledImages | None = None,
    n: int = 2000,
    autoencoder: Autoencoder | None = None,
    training: AutoencoderEstimator = TrainingOptions(),  # noqa: B008  # frozen
    judge: Classifier | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """Fit samplers on the same latents, draw from each, and measure the draws.

    Args:
        samplers: registered names, ``package.module:Class`` or estimators; or these by a name of
            yours, to have one of them with several options.
        seeds: of the fits and draws; each is a row.
        train: real images.
        test: real images to compare with; None holds a fifth of ``train`` out.
        n: images drawn from each.
        autoencoder: encodes the images; None trains one as ``training`` says.
        training: of that autoencoder.
        judge: a classifier whose features are compared; None trains one.
        device: where to compute.

    Returns:
        A row for each sampler and seed: ``sampler``, ``seed``; ``fd_classifier``, the Fréchet
        distance in the judge's features (lower is better); ``precision`` and ``recall`` (higher is
        better); ``dcr_image``, the distance to the closest training image over that of fresh
        images (1 is as far as these, 0 is a copy); ``ks``, the Kolmogorov-Smirnov distance of
        latents (lower is better); ``fit_seconds`` and ``draw_seconds``. The last rows are
        ``real images`` and ``copies``, decoded training images, which no sampler can beat by
        drawing anything new; what has no meaning is NaN.

    Raises:
        InputError: an unknown sampler, whole models (which have no latents), too few images, or
            n, a seed or a device that is none; before anything is trained.
    """
    where = as_device(device)
    n = whole_number("n", n, FEWEST, MOST_IMAGES)
    seeds = [whole_number("one of seeds", seed, 0, MOST_SEED) for seed in seeds]
    if not seeds:
        raise InputError("seeds are none, expected at least one: give some, such as (0, 1, 2)")
    named = samplers if isinstance(samplers, Mapping) else {_name(each): each for each in samplers}
    estimators = {
        name: SAMPLERS.make(each, None, name) if isinstance(each, str) else each
        for name, each in named.items()
    }
    for name, estimator in estimators.items():
        if estimator.kind != "latents" or estimator.uses:
            raise InputError(
                f"{name} is no sampler of latents alone, which are compared here: run the "
                "experiment benchmark, or leave it out"
            )
    if test is None:
        train, test = hold_out(train, TEST_FRACTION, seed=0)
    if autoencoder is None:
        autoencoder, _ = training.fit(train.images, seed=0, device=where)
    if judge is None:
        k = len(train.class_names)
        judge = train_judge(train.images, train.labels, k, JudgeOptions(), seed=0, device=where)
    bench = Bench(
        train,
        test,
        judge,
        n=n,
        compared=min(n, MOST_COMPARED),
        device=where,
        autoencoder=autoencoder,
    )
    rows: list[dict[str, Any]] = []
    for name, estimator in estimators.items():
        for seed in seeds:
            start = time.perf_counter()
            fitted = estimator.fit(bench.latents.to(where), train.labels, seed=seed)
            fit = time.perf_counter() - start
            start = time.perf_counter()
            drawing = bench.draw(HVRTDiffuser(autoencoder, fitted, where), seed)
            drawn = time.perf_counter() - start
            found = bench.measure(drawing, seed, MEASURED)
            rows.append(
                {"sampler": name, "seed": seed, **{key: found[key] for key in MEASURED}}
                | {"fit_seconds": fit, "draw_seconds": drawn}
            )
    floors = bench.floors(seed=0)
    for name, key in (("real images", "real_floor"), ("copies", "copy_floor")):
        rows.append({"sampler": name, "seed": None, "fd_classifier": floors[key]})
    return pd.DataFrame(rows)


def _name(sampler: Any) -> str:
    return sampler if isinstance(sampler, str) else str(sampler.name)


def plot_comparison(table: pd.DataFrame) -> Figure:
    """Likeness against novelty, a point for each sampler and seed.

    Args:
        table: of :func:`compare`.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, rows in table.dropna(subset=["dcr_image"]).groupby("sampler", sort=False):
        axes.plot(rows["dcr_image"], rows["fd_classifier"], "o", label=label(str(name)))
    for name, style in (("real images", "--"), ("copies", ":")):
        for value in table.loc[table["sampler"] == name, "fd_classifier"]:
            axes.axhline(value, color="grey", linestyle=style, linewidth=0.8, label=name)
    axes.set(
        title="Samplers: likeness against novelty",
        xlabel="distance to the closest training image (1: as far as fresh images)",
        ylabel="Fréchet distance to test images (lower is better)",
    )
    axes.legend(frameon=False)
    return figure

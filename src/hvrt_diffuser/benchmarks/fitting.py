"""Fitting: how its time grows, and a faster fit of the same quality."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Any

import torch

from hvrt_diffuser.benchmarks.material import Material
from hvrt_diffuser.benchmarks.timing import Entry, timed
from hvrt_diffuser.metrics import kolmogorov_smirnov
from hvrt_diffuser.samplers import HVRTEstimator

__all__ = ["faster_fit", "growth"]

SIZES = (10_000, 100_000, 1_000_000)
SEEDS = 3
N = 10_000


def growth(material: Material, progress: Any) -> list[Entry]:
    """Time of one joint fit at each size, with the best and the random splitter."""
    rows = {n: material.rows(n, 64) for n in SIZES}
    times: dict[str, list[float]] = {"random": [], "best": []}
    entries = []
    for n in SIZES:
        for splitter, found in times.items():
            estimator = HVRTEstimator(min_samples_leaf=5, tree_splitter=splitter)
            fit = partial(estimator.fit, rows[n])
            repeats = 3 if n < SIZES[-1] else 1
            found.append(statistics.median(timed(fit)[0] for _ in range(repeats)))
        random, best = times["random"][-1], times["best"][-1]
        name = f"fit of {n:,} rows, d = 64, random splitter: times faster than the best splitter"
        entries.append(Entry(name, random, best, "s", best / random))
        progress(entries[-1])
    decades = math.log(SIZES[-1] / SIZES[0])
    exponents = {k: math.log(found[-1] / found[0]) / decades for k, found in times.items()}
    name = "growth exponent of the fit from 10,000 to 1,000,000 rows, random splitter and best"
    entries.append(
        Entry(
            name,
            exponents["random"],
            exponents["best"],
            "exponent",
            exponents["random"] / exponents["best"],
        )
    )
    progress(entries[-1])
    return entries


def faster_fit(material: Material, progress: Any) -> list[Entry]:
    """Quality of the random splitter against that of the best, means over seeds."""
    latents, labels = material.latents
    held_out = material.test_latents[0].numpy()
    found: dict[str, dict[str, list[float]]] = {}
    for splitter in ("random", "best"):
        measured = found.setdefault(splitter, {"seconds": [], "fd": [], "ks": []})
        for seed in range(SEEDS):
            estimator = HVRTEstimator(min_samples_leaf=5, tree_splitter=splitter)
            took, sampler = timed(partial(estimator.fit, latents, labels, seed=seed))
            measured["seconds"].append(took)
            draws, _ = sampler.sample(N, generator=torch.Generator().manual_seed(seed))
            measured["fd"].append(material.frechet(material.decode(draws)))
            measured["ks"].append(float(kolmogorov_smirnov(draws.numpy(), held_out).mean()))
    entries = []
    for what, unit, name in (
        ("seconds", "s", "joint and per-class fit, random splitter: share of the best's time"),
        ("fd", "fd_classifier", "Fréchet distance after a fit with the random splitter: ratio"),
        ("ks", "latent KS", "latent KS after a fit with the random splitter: ratio"),
    ):
        ours, theirs = (statistics.fmean(found[k][what]) for k in ("random", "best"))
        entries.append(Entry(name, ours, theirs, unit, ours / theirs))
        progress(entries[-1])
    return entries

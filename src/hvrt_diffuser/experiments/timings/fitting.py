"""Fitting: how its time grows, and a faster fit of the same quality."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Any

from hvrt_diffuser.experiments.timings.finished import fidelity, latent_rows
from hvrt_diffuser.experiments.timings.timing import Entry, timed
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import HVRTEstimator

__all__ = ["faster_fit", "growth"]

SIZES = (10_000, 100_000, 1_000_000)
SEEDS = 3
REFERENCE = "best splitter on all rows"
DEFAULT = "best splitter on 100,000 rows"
SUBSAMPLED = "best splitter on 10,000 of the rows"
FITS = {
    DEFAULT: HVRTEstimator(min_samples_leaf=5),
    "random splitter on all rows": HVRTEstimator(
        min_samples_leaf=5, tree_splitter="random", tree_rows=None
    ),
    REFERENCE: HVRTEstimator(min_samples_leaf=5, tree_rows=None),
}
ON_A_SIXTH = HVRTEstimator(min_samples_leaf=5, tree_rows=10_000)
UNITS = {
    "s": "time of the joint and per-class fits",
    "fd_classifier": "Fréchet distance",
    "ks": "latent Kolmogorov-Smirnov",
    "attribution": "attribution",
}


def growth(bench: Bench, progress: Any) -> list[Entry]:
    """Time of one joint fit at each size, against a fit of the best tree on all rows."""
    rows = {n: latent_rows(bench, n, 64) for n in SIZES}
    times: dict[str, list[float]] = {name: [] for name in FITS}
    entries = []
    for n in SIZES:
        for name, estimator in FITS.items():
            fit = partial(estimator.fit, rows[n])
            repeats = 3 if n < SIZES[-1] else 1
            times[name].append(statistics.median(timed(fit)[0] for _ in range(repeats)))
        reference = times[REFERENCE][-1]
        for name, found in times.items():
            if name != REFERENCE:
                label = f"fit of {n:,} rows, d = 64, {name}: times faster than {REFERENCE}"
                entries.append(Entry(label, found[-1], reference, "s", reference / found[-1]))
                progress(entries[-1])
    decades = math.log(SIZES[-1] / SIZES[0])
    exponents = {name: math.log(found[-1] / found[0]) / decades for name, found in times.items()}
    reference = exponents[REFERENCE]
    for name, exponent in exponents.items():
        label = f"growth exponent of the fit, {SIZES[0]:,} to {SIZES[-1]:,} rows, {name}"
        entries.append(Entry(label, exponent, reference, "exponent", exponent / reference))
        progress(entries[-1])
    return entries


def faster_fit(bench: Bench, progress: Any) -> list[Entry]:
    """Quality of faster fits against that of the best trees on all rows, means over seeds."""
    data = bench.latents, bench.train.labels
    found: dict[str, dict[str, float]] = {}
    for name, estimator in {**FITS, SUBSAMPLED: ON_A_SIXTH}.items():
        measured: dict[str, list[float]] = {unit: [] for unit in UNITS}
        for seed in range(SEEDS):
            took, sampler = timed(partial(estimator.fit, *data, seed=seed))
            for unit, value in {"s": took, **fidelity(bench, sampler, seed)}.items():
                measured[unit].append(value)
        found[name] = {unit: statistics.fmean(values) for unit, values in measured.items()}
    entries = []
    for name, measured_here in found.items():
        if name in (REFERENCE, DEFAULT):  # the same trees, where there are fewer rows
            continue
        for unit, ours in measured_here.items():
            theirs = found[REFERENCE][unit]
            label = f"{UNITS[unit]}, {name}: share of that with {REFERENCE}"
            entries.append(Entry(label, ours, theirs, unit, ours / theirs))
            progress(entries[-1])
    return entries

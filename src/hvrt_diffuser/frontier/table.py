"""Every approach at every strength and seed, and the table of their means."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import encode_augmented
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.frontier.approaches import APPROACHES, Fits
from hvrt_diffuser.frontier.yardstick import Yardstick
from hvrt_diffuser.judge.rows import copied, decoded, equal_n
from hvrt_diffuser.samplers import FlowMapEstimator, HVRTEstimator, LatentFlow

__all__ = ["FLOORS", "VERSIONS", "measure_frontier", "summarise"]

FLOORS = ("real_floor", "reconstruction_floor", "copy_floor")
MEASURED = (
    "fd",
    "dcr_image",
    "dcr_feature",
    "dcr_latent",
    "attribution",
    "inception_score",
    "ks",
    "tstr",
    "seconds",
)
VERSIONS = 3  # changed, of each image, beside itself: what an augmented flow starts from

Entry = dict[str, Any]


def measure_frontier(
    yardstick: Yardstick,
    points: Mapping[str, Sequence[float]],
    hvrt: HVRTEstimator,
    flow: FlowMapEstimator,
    augmentation: Augmentation,
    classifier: ClassifierOptions,
    *,
    seeds: int,
    seed: int,
    done: Sequence[Entry] = (),
    keep: Callable[[list[Entry]], None] = lambda entries: None,
) -> list[Entry]:
    """Fit each approach for each seed, and measure it at its strengths.

    Args:
        yardstick: what is measured against.
        points: the strengths of each approach.
        hvrt: the partition of those that have one.
        flow: the flow and its map.
        augmentation: of the images whose latents a flow may start from: of each, not its own
            ``copies`` but :data:`VERSIONS`.
        classifier: of TSTR, on as many images as a point has, even by class.
        seeds: repetitions, each with fits, draws and classifiers of its own.
        seed: of everything random.
        done: entries of an earlier call that was cut off, or had other points or fewer seeds.
        keep: is given all entries so far, whenever an approach is finished.

    Returns:
        An entry for each floor, approach, strength and repetition.
    """
    wanted: dict[str, Sequence[float | None]] = {name: (None,) for name in FLOORS}
    wanted |= {name: tuple(strengths) for name, strengths in points.items()}
    entries = list(done)
    finished = {(entry["sampler"], entry["strength"], entry["seed"]) for entry in entries}
    jobs: list[tuple[str, int, tuple[float, ...]]] = []
    for repetition in range(seeds):
        if any((floor, None, repetition) not in finished for floor in FLOORS):
            jobs.append(("floors", repetition, ()))
        for name, strengths in points.items():
            missing = tuple(s for s in strengths if (name, s, repetition) not in finished)
            if missing:
                jobs.append((name, repetition, missing))
    augment = partial(
        _encode_changed, yardstick, augmentation.model_copy(update={"copies": VERSIONS})
    )
    shared: dict[int, Fits] = {}
    with progress("measuring the frontier", len(jobs), "fits") as advance:
        for name, repetition, strengths in jobs:
            own_seed = derive_seed(seed, "frontier", repetition)
            if name == "floors":
                found = _floors(yardstick, classifier, own_seed)
            else:
                if repetition not in shared:
                    shared.clear()  # the fits of an earlier repetition are not needed any more
                    shared[repetition] = Fits(
                        yardstick.latents.to(yardstick.device),
                        yardstick.train.labels,
                        hvrt,
                        flow,
                        augment,
                        own_seed,
                    )
                found = _of_approach(
                    yardstick, name, strengths, shared[repetition], classifier, own_seed
                )
            entries += [{**entry, "seed": repetition} for entry in found]
            keep(entries)
            advance(f"{name}, repetition {repetition + 1}")
    return [
        entry
        for repetition in range(seeds)
        for name, strengths in wanted.items()
        for strength in strengths
        for entry in entries
        if (entry["sampler"], entry["strength"], entry["seed"]) == (name, strength, repetition)
    ]


def _encode_changed(yardstick: Yardstick, augmentation: Augmentation, seed: int) -> Tensor | None:
    return encode_augmented(
        yardstick.autoencoder,
        yardstick.train.images,
        augmentation,
        seed=seed,
        device=yardstick.device,
    )


def _of_approach(
    yardstick: Yardstick,
    name: str,
    strengths: Sequence[float],
    fits: Fits,
    classifier: ClassifierOptions,
    seed: int,
) -> list[Entry]:
    start = time.perf_counter()
    at = APPROACHES[name].fit(fits)
    fit_seconds = time.perf_counter() - start
    samplers = {strength: at(strength) for strength in strengths}
    rows = {
        f"{name} {strength:g}": decoded(
            yardstick.autoencoder, sampler, yardstick.n, yardstick.device
        )
        for strength, sampler in samplers.items()
    }
    accuracies = yardstick.utility(rows, classifier, seeds=1, seed=seed)
    return [
        {
            "sampler": name,
            "strength": strength,
            "evaluations": sampler.evaluations if isinstance(sampler, LatentFlow) else 0,
            **asdict(yardstick.measure(sampler, seed)),
            "tstr": accuracies[f"{name} {strength:g}"],
            "fit_seconds": fit_seconds,
        }
        for strength, sampler in samplers.items()
    ]


def _floors(yardstick: Yardstick, classifier: ClassifierOptions, seed: int) -> list[Entry]:
    """The floors; copies are at a distance of 0, and test images are what is fresh."""
    train, n, device = yardstick.train, yardstick.n, yardstick.device
    rows = {"copy_floor": copied(yardstick.autoencoder, train, n, device)}
    if n <= len(train.class_names) * int(torch.bincount(train.labels).min()):
        rows["real_floor"] = equal_n(train, n)
    accuracies = yardstick.utility(rows, classifier, seeds=1, seed=seed)
    ratios = {"reconstruction_floor": 1.0, "copy_floor": 0.0}
    return [
        {
            "sampler": name,
            "strength": None,
            "evaluations": 0,
            "fd": fd,
            "dcr_image": ratios.get(name),
            "dcr_feature": ratios.get(name),
            "dcr_latent": ratios.get(name),
            "attribution": None,
            "inception_score": None,
            "ks": None,
            "tstr": accuracies.get(name),
            "seconds": None,
            "fit_seconds": None,
        }
        for name, fd in yardstick.floors(seed).items()
    ]


def summarise(entries: Sequence[Entry]) -> list[Entry]:
    """A row per approach and strength: means over the seeds, and deviations of the main three."""
    groups: dict[tuple[str, float | None], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry["sampler"], entry["strength"]), []).append(entry)
    rows = []
    for (name, strength), group in groups.items():
        row: Entry = {
            "sampler": name,
            "strength": strength,
            "evaluations": group[0]["evaluations"],
            "seeds": len(group),
        }
        for measure in (*MEASURED, "fit_seconds"):
            values = [entry[measure] for entry in group]
            row[measure] = None if None in values else statistics.fmean(values)
        for measure in ("fd", "dcr_image", "tstr"):
            values = [entry[measure] for entry in group]
            row[f"{measure}_std"] = (
                None if None in values or len(values) < 2 else statistics.stdev(values)
            )
        rows.append(row)
    return rows

"""Every rival through the same measures, and the table of their means."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hvrt_diffuser.autoencoders import decode_latents
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.files import read_tensors
from hvrt_diffuser.frontier import Yardstick
from hvrt_diffuser.judge.rows import decoded
from hvrt_diffuser.machine import memory, reset_peak
from hvrt_diffuser.progress import progress
from hvrt_diffuser.rivals.registry import PRIORS, Shared
from hvrt_diffuser.samplers import LatentSampler
from hvrt_diffuser.samplers.bootstrap import KIND
from hvrt_diffuser.seeding import derive_seed, generator

__all__ = ["measure_rivals", "summarise"]

Entry = dict[str, Any]
BATCHES = (1, 64, 1024)
CALLS = 5  # of each batch size, of which the median counts
KEPT = ("rival", "what", "parameters", "stored_bytes")


def measure_rivals(
    yardstick: Yardstick,
    rivals: Sequence[str],
    shared: Shared,
    classifier: ClassifierOptions,
    *,
    seeds: int,
    seed: int,
    done: Sequence[Entry] = (),
    keep: Callable[[list[Entry]], None] = lambda entries: None,
) -> list[Entry]:
    """Fit each rival for each seed, draw from it, and measure.

    Args:
        yardstick: what is measured against.
        rivals: names, of :data:`PRIORS`.
        shared: what they are built from.
        classifier: of TSTR.
        seeds: repetitions, each with fits, draws and a classifier of its own.
        seed: of everything random.
        done: entries of an earlier call that was cut off, or had other rivals or fewer seeds.
        keep: is given all entries so far, whenever a rival has been measured.

    Returns:
        An entry for each rival and repetition.
    """
    found = {(entry["rival"], entry["seed"]): entry for entry in done}
    wanted = [(name, repetition) for repetition in range(seeds) for name in rivals]
    missing = [job for job in wanted if job not in found]
    with progress("measuring rivals", len(missing), "fits") as advance:
        for name, repetition in missing:
            own_seed = derive_seed(seed, "rivals", repetition)
            entry = _measure(yardstick, name, shared, classifier, own_seed)
            found[name, repetition] = entry | {"seed": repetition}
            keep(list(found.values()))
            advance(f"{name}, repetition {repetition + 1}")
    return [found[job] for job in wanted]


def _measure(
    yardstick: Yardstick, name: str, shared: Shared, classifier: ClassifierOptions, seed: int
) -> Entry:
    prior = PRIORS[name]
    latents = yardstick.latents.to(yardstick.device)
    reset_peak()
    before = memory()
    start = time.perf_counter()
    sampler = prior.build(shared).fit(latents, yardstick.train.labels, seed=seed)
    fit_seconds = time.perf_counter() - start
    drawn = yardstick.draw(sampler, seed)
    after = memory()
    kid, support = yardstick.likeness(drawn.images, seed=seed % 2**32)
    rows = {name: decoded(yardstick.autoencoder, sampler, yardstick.n, yardstick.device)}
    point = asdict(yardstick.place(drawn))
    del point["seconds"]
    parameters, stored = _size(sampler)
    return {
        "rival": name,
        "what": prior.what,
        **point,
        "kid": kid.mean,
        **support._asdict(),
        "tstr": yardstick.utility(rows, classifier, seeds=1, seed=seed)[name],
        "train_seconds": fit_seconds,
        "ms_per_image": _milliseconds(yardstick, sampler),
        "peak_mb": None if before is None or after is None else after[1] - before[0],
        "parameters": parameters,
        "stored_bytes": stored,
    }


def _milliseconds(yardstick: Yardstick, sampler: LatentSampler) -> dict[str, float]:
    """Per image, to draw and decode a batch of each size, by its size."""
    found = {}
    for batch in BATCHES:
        source = generator(0, "rivals", "speed", device=sampler.device)
        times = []
        for _ in range(CALLS + 1):
            start = time.perf_counter()
            latents, _ = sampler.sample(batch, generator=source)
            decode_latents(yardstick.autoencoder, latents, yardstick.device)
            times.append(time.perf_counter() - start)
        found[str(batch)] = 1000 * statistics.median(times[1:]) / batch  # the first warms up
    return found


def _size(sampler: LatentSampler) -> tuple[int, int]:
    """Numbers that are no indices, in the file of a sampler, and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sampler"
        sampler.save(path)
        stored = path.stat().st_size
        tensors, _ = read_tensors(path, KIND)
    return sum(t.numel() for t in tensors.values() if t.is_floating_point()), stored


def summarise(entries: Sequence[Entry]) -> list[Entry]:
    """A row per rival: means over the seeds, and deviations of FD, DCR and TSTR."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["rival"], []).append(entry)
    rows = []
    for group in groups.values():
        row: Entry = {name: group[0][name] for name in KEPT} | {"seeds": len(group)}
        for measure in [name for name in group[0] if name not in (*KEPT, "seed", "ms_per_image")]:
            values = [entry[measure] for entry in group]
            row[measure] = None if None in values else statistics.fmean(values)
        row["ms_per_image"] = {
            batch: statistics.median(entry["ms_per_image"][batch] for entry in group)
            for batch in group[0]["ms_per_image"]
        }
        for measure in ("fd", "dcr_image", "tstr"):
            values = [entry[measure] for entry in group]
            row[f"{measure}_std"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    return rows

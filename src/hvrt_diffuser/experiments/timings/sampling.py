"""Sampling against ``hvrt.expand``: time, and the memory of a million draws."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import hvrt
import torch

from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.common.machine import memory as memory_in_use
from hvrt_diffuser.common.machine import reset_peak
from hvrt_diffuser.experiments.timings.finished import latent_rows
from hvrt_diffuser.experiments.timings.timing import Entry, side_by_side, timed
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import HVRTEstimator, SmoothedBootstrap, load_sampler

__all__ = ["memory", "speed"]

MILLION = 1_000_000
STRATEGIES = ("epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula")
COPULA = "univariate_kde_copula"
DENSE = ("multivariate_kde", COPULA)
MOST_BYTES = 12 * 2**30  # of one array that hvrt makes; beyond it a comparison is left out


def speed(bench: Bench, progress: Any) -> list[Entry]:
    """Repeat calls of ``expand`` and of ``sample``, for each kernel, number and dimension."""
    entries = []
    for d in (16, 64):
        rows = latent_rows(bench, 60_000, d)
        model = hvrt.FastHVRT(min_samples_leaf=5).fit(rows.double().numpy())
        for strategy in STRATEGIES:
            sampler = HVRTEstimator(strategy=strategy, min_samples_leaf=5).fit(rows)
            for n in (60_000, MILLION):
                name = f"sampling, {strategy}, d = {d}, {n:,} draws: times faster than hvrt.expand"
                entries.append(_sampling(name, sampler, model, strategy, n))
                progress(entries[-1])
    return entries


def _sampling(name: str, sampler: SmoothedBootstrap, model: Any, strategy: str, n: int) -> Entry:
    source = torch.Generator().manual_seed(0)

    def ours() -> None:
        sampler.sample(n, generator=source)

    def theirs() -> None:
        model.expand(n, generation_strategy=strategy)

    d = sampler.latent_dim
    # hvrt gathers a matrix (d, d) for each draw, and its copula takes a minute for a million.
    too_large = strategy in DENSE and 8 * n * d * d > MOST_BYTES
    if too_large or (strategy == COPULA and n == MILLION):
        ours()
        return Entry(name, 1000 * timed(ours)[0], None, "ms", None)
    rounds = {COPULA: 2, "multivariate_kde": 5}.get(strategy, 9 if n < MILLION else 7)
    return side_by_side(name, ours, theirs, rounds)


def memory(bench: Bench, progress: Any) -> list[Entry]:
    """What a million draws of 64 dimensions take above the tables, in a process of its own."""
    rows = latent_rows(bench, 60_000, 64)
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        write_tensors(Path(folder) / "rows.safetensors", {"rows": rows}, {"kind": "rows"})
        for strategy in STRATEGIES:
            path = Path(folder) / f"{strategy}.safetensors"
            HVRTEstimator(strategy=strategy, min_samples_leaf=5).fit(rows).save(path)
            ours = _peak("ours", strategy, str(path))
            theirs = None
            if strategy not in DENSE:
                theirs = _peak("theirs", strategy, str(Path(folder) / "rows.safetensors"))
            name = f"memory of a million draws, {strategy}, d = 64, above the tables: times less"
            ratio = None if theirs is None else theirs / ours
            entries.append(Entry(name, ours, theirs, "MB", ratio))
            progress(entries[-1])
    return entries


def _peak(whose: str, strategy: str, path: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "hvrt_diffuser.experiments.timings.sampling", whose, strategy, path],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["megabytes"])


def _measure(whose: str, strategy: str, path: str) -> float:
    """The peak of a million draws, in MB above what was there before them."""
    if whose == "ours":
        sampler = load_sampler(path)
        source = torch.Generator().manual_seed(0)
        draw = partial(sampler.sample, generator=source)
    else:
        rows = read_tensors(path, "rows")[0]["rows"]
        model = hvrt.FastHVRT(min_samples_leaf=5).fit(rows.double().numpy())
        draw = partial(model.expand, generation_strategy=strategy)
    draw(1000)  # what is loaded at the first call counts for no one
    reset_peak()
    before = memory_in_use()
    kept = draw(MILLION)
    after = memory_in_use()
    del kept
    if before is None or after is None:
        raise OSError("this system does not tell the memory of a process, expected Linux")
    return after[1] - before[0]


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"megabytes": _measure(*sys.argv[1:4])}))

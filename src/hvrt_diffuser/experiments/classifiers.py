"""``python -m hvrt_diffuser.experiments.classifiers``: how fast classifiers train, and how well.

Rates are of images a second of processor time, which other work on the machine moves least. The
judge is that of the environment ``cifar10``, and is asked about test images that it has not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hvrt_diffuser.classifiers import (
    Classifier,
    ClassifierOptions,
    JudgeOptions,
    NetworkName,
    classify,
    train_classifier,
    train_judge,
)
from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images

__all__ = ["JUDGE", "flops", "measure_judge", "measure_rates"]

COMMAND = "python -m hvrt_diffuser.experiments.classifiers"
CPU = torch.device("cpu")
JUDGE = JudgeOptions(
    network="whitened",
    width=64,
    batch_size=512,
    steps=850,
    evaluate_every=170,
    validation_fraction=0.05,
    precision="auto",
)
SHAPE, CLASSES = (3, 32, 32), 10
WIDTHS = (32, 64)
BATCHES = (128, 512)
STEPS = 4  # that are timed
SEEN = 10_000  # training images that the judge is asked about as well


def flops(network: NetworkName, width: int) -> float:
    """Floating point operations of a training step for each image, in convolutions and products."""
    model = Classifier(SHAPE, CLASSES, width, network)
    x, labels = torch.rand(4, *SHAPE), torch.zeros(4, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(x), labels).backward()
    return float(counter.get_total_flops() / len(x))


def measure_rates(
    widths: Sequence[int] = WIDTHS, batches: Sequence[int] = BATCHES, steps: int = STEPS
) -> list[dict[str, Any]]:
    """Train each network in each width, batch and precision for a few steps.

    Returns:
        JSON rows: ``network``, ``width``, ``batch_size``, ``precision``; ``images_per_second`` of
        processor time; ``megaflops`` an image; and ``gigaflops_per_second``.
    """
    source = generator(0, "experiments", "classifiers")
    images = torch.randint(0, 256, (max(batches), *SHAPE), generator=source, dtype=torch.uint8)
    labels = torch.arange(len(images)) % CLASSES
    rows = []
    for network in get_args(NetworkName):
        for width in widths:
            each = flops(network, width)
            for batch_size in batches:
                for precision in ("float32", "bfloat16"):
                    chosen = {
                        "network": network,
                        "width": width,
                        "batch_size": batch_size,
                        "precision": precision,
                    }
                    rate = batch_size / _seconds_a_step(images, labels, chosen, steps)
                    rows.append(
                        chosen
                        | {
                            "images_per_second": rate,
                            "megaflops": each / 1e6,
                            "gigaflops_per_second": rate * each / 1e9,
                        }
                    )
    return rows


def _seconds_a_step(
    images: torch.Tensor, labels: torch.Tensor, chosen: dict[str, Any], steps: int
) -> float:
    """What more steps take more: what comes before the first one does not count."""
    taken = []
    for n in (2, 2 + steps):
        options = ClassifierOptions(steps=n, **chosen)
        start = time.process_time()
        train_classifier(images, labels, CLASSES, options, seed=0, device=CPU)
        taken.append(time.process_time() - start)
    return max(taken[1] - taken[0], 1e-9) / steps


def measure_judge(
    train: LabelledImages, test: LabelledImages, options: JudgeOptions = JUDGE
) -> dict[str, Any]:
    """Train a judge, and ask it about images that it has not seen.

    Returns:
        JSON: ``seconds`` of the training and ``processor_seconds``, ``threads``, the machine's
        ``load`` average before and after, ``accuracy`` on test images and ``accuracy_train`` on
        training images, in percent, and the ``options``.
    """
    load = [os.getloadavg()[0]]
    start, used = time.perf_counter(), time.process_time()
    judge = train_judge(
        train.images, train.labels, len(train.class_names), options, seed=0, device=CPU
    )
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    load.append(os.getloadavg()[0])
    order = torch.randperm(len(train), generator=generator(0, "experiments", "seen"))[:SEEN]

    def accuracy(images: LabelledImages) -> float:
        predicted = classify(judge, images.images, CPU)[1].argmax(1)
        return 100 * float((predicted == images.labels).double().mean())

    return {
        "seconds": seconds,
        "processor_seconds": processor,
        "threads": torch.get_num_threads(),
        "load": load,
        "accuracy": accuracy(test),
        "accuracy_train": accuracy(train[order]),
        "options": options.model_dump(mode="json"),
    }


def main() -> None:
    """Measure what was asked for; what was measured before and not now is kept."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="parquet files, for judge")
    parser.add_argument("--only", nargs="+", choices=["rates", "judge"], default=["rates", "judge"])
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    given = parser.parse_args()
    if "judge" in given.only and given.cifar10 is None:
        parser.error("judge needs --cifar10 FOLDER")
    terminal.install()
    record = json.loads(given.out.read_text()) if given.out.exists() else {}
    if "rates" in given.only:
        record["rates"] = {"machine": describe_machine(), "rows": measure_rates()}
    if "judge" in given.only:
        splits = read_images("parquet", root=given.cifar10)
        assert splits.test is not None
        found = measure_judge(splits.train, splits.test)
        record["judge"] = {"machine": describe_machine(), **found}
        sys.stdout.write(f"{found['accuracy']:.2f}% after {found['seconds']:.0f} s\n")
    with whole_file(given.out) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()

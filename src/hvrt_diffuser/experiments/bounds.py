"""``python -m hvrt_diffuser.experiments.bounds``: where one grade of likeness ends.

Real images that nothing was trained on are judged as if they were synthetic, as they are and with
known damage, at several n. A grade is good where such images are, and fair up to what half of every
class missing scores; the verdict takes the worst extractor, and so do the bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.classifiers import JudgeOptions, train_judge
from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.data.sources.splits import ImageSplits
from hvrt_diffuser.judge import (
    Extractor,
    likeness,
    trained_extractors,
    untrained_extractors,
)

__all__ = ["DAMAGES", "derive", "graded_good", "measure_bounds"]

COMMAND = "python -m hvrt_diffuser.experiments.bounds"
CPU = torch.device("cpu")
JUDGE = JudgeOptions(width=16, steps=600)
MADE_OF = 20_000  # training images
HELD_OUT = 20_000
TRIALS = {100: 6, 300: 6, 1000: 8, 3000: 4, 10_000: 1}
LARGE = 1000  # images from which on an excess is known well enough to set a bound
NOISE = 4.0  # deviation, of 255
BLUR = 0.5  # pixels
HALF = "half_of_every_class_missing"
TRIAL = ("dataset", "damage", "n", "trial")
KEPT = ("e", "low", "high", "kid", "p")
DATASETS: dict[str, Callable[[Path], ImageSplits]] = {
    "mnist": lambda root: read_images("torchvision", name="MNIST", root=root),
    "cifar10": lambda root: read_images("parquet", root=root),
    "fashion-mnist": lambda root: read_images("torchvision", name="FashionMNIST", root=root),
}


def _half_missing(images: LabelledImages, source: torch.Generator) -> Tensor:
    """Of each class the images on one side of the median of its first principal component."""
    kept = []
    for c in range(len(images.class_names)):
        own = images.images[images.labels == c]
        flat = own.flatten(1).double().numpy()
        flat -= flat.mean(axis=0)
        _, _, (direction,) = svds(flat, k=1, v0=np.ones(min(flat.shape)))
        scores = torch.from_numpy(flat @ (direction * np.sign(direction.sum())))
        kept.append(own[scores <= scores.median()])
    return torch.cat(kept)


def _coloured_noise(images: LabelledImages, source: torch.Generator) -> Tensor:
    """Fine noise, of opposite signs in the first two of three channels."""
    x = images.images.float()
    z = torch.randn(x[:, :1].shape, generator=source)
    z = (z - z.roll(1, 2) + z.roll(1, 3) - z.roll((1, 1), (2, 3))) / 2
    signs = torch.tensor([1.0, -1.0, 0.5])[: x.shape[1], None, None]
    return (x + NOISE * z * signs).round().clamp(0, 255).byte()


def _blur(images: LabelledImages, source: torch.Generator) -> Tensor:
    x, c = images.images.float(), images.images.shape[1]
    line = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * BLUR**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    x = F.pad(x, (2,) * 4, mode="replicate")
    return F.conv2d(x, kernel.expand(c, 1, 5, 5), groups=c).round().clamp(0, 255).byte()


DAMAGES: dict[str, Callable[[LabelledImages, torch.Generator], Tensor]] = {
    "none": lambda images, source: images.images,
    HALF: _half_missing,
    "coloured_noise": _coloured_noise,
    "blur": _blur,
}
"""What becomes of held-out real images, by name; from them to uint8 (n, c, h, w)."""


def measure_bounds(
    name: str,
    train: LabelledImages,
    test: LabelledImages,
    *,
    made_of: int = MADE_OF,
    held: int = HELD_OUT,
    trials: Mapping[int, int] = TRIALS,
    judge: JudgeOptions = JUDGE,
    show: Callable[[str], object] = lambda line: None,
) -> Iterator[dict[str, Any]]:
    """Judge held-out real images as synthetic, with every damage, at every n, several times.

    Args:
        name: of the dataset.
        train: of which ``made_of`` make the extractors, and others are held out.
        test: what is compared with, twice n of them where there are as many.
        made_of: training images that the extractors are made of.
        held: others, of which each damage leaves at most half to draw n from.
        trials: by n.
        judge: of the classifier.
        show: is given a line after each damage.

    Yields:
        JSON by trial and extractor: ``dataset``, ``damage``, ``n``, ``trial``, ``extractor``, and
        ``e``, ``low``, ``high``, ``kid`` and ``p`` of :func:`hvrt_diffuser.judge.likeness`.
    """
    order = torch.randperm(len(train), generator=generator(0, "bounds", "split"))
    own, held_out = train[order[:made_of]], train[order[made_of : made_of + held]]
    network = train_judge(own.images, own.labels, len(own.class_names), judge, seed=0, device=CPU)
    extractors: dict[str, Extractor] = {
        **trained_extractors(network, CPU),
        **untrained_extractors(own.images, CPU),
    }
    real = {key: extract(test.images) for key, extract in extractors.items()}
    for damage, spoil in DAMAGES.items():
        source = generator(0, "bounds", name, damage)
        images = spoil(held_out, source)
        images = images[torch.randperm(len(images), generator=source)[: held // 2]]
        # Each image is seen once, and looked up by its row in every trial.
        seen = {key: np.concatenate([real[key], f(images)]) for key, f in extractors.items()}
        looked_up: dict[str, Extractor] = {
            key: lambda rows, features=features: features[rows.numpy()]  # type: ignore[misc]
            for key, features in seen.items()
        }
        for n, times in trials.items():
            for trial in range(times if n <= len(images) else 0):
                ours = len(test) + torch.randperm(len(images), generator=source)[:n]
                theirs = torch.randperm(len(test), generator=source)[: 2 * n]
                found = likeness(ours, theirs, looked_up, seed=trial)
                for extractor, values in found.items():
                    row = {"dataset": name, "damage": damage, "n": n, "trial": trial}
                    yield row | {"extractor": extractor} | {key: values[key] for key in KEPT}
        show(f"{name}: {damage}")


def derive(record: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Bounds by measure: good up to the first, fair up to the second.

    A trial counts by its worst extractor, as in the verdict, from 1,000 images on. Good ends where
    the intervals of 95 % of the trials with held-out real images do, and fair at the median of
    those in which half of every class is missing; both are rounded to two figures.

    Args:
        record: what the command writes.
    """
    worst = {
        (damage, key): [
            max(row[key] for row in trial)
            for trial in _trials(record)
            if trial[0]["damage"] == damage and trial[0]["n"] >= LARGE
        ]
        for damage, key in (("none", "high"), (HALF, "e"))
    }
    good = float(np.quantile(worst["none", "high"], 0.95))
    fair = float(np.median(worst[HALF, "e"]))
    return {"likeness": (float(f"{good:.2g}"), float(f"{fair:.2g}"))}


def graded_good(record: Mapping[str, Any], good: float) -> list[dict[str, Any]]:
    """In how many trials every extractor's whole interval lies below a bound.

    Args:
        record: what the command writes.
        good: the bound.

    Returns:
        JSON by ``dataset``, ``damage`` and ``n``: ``good`` of ``trials``.
    """
    found: dict[tuple[str, str, int], list[bool]] = {}
    for trial in _trials(record):
        key = trial[0]["dataset"], trial[0]["damage"], trial[0]["n"]
        below = all(row["high"] is not None and row["high"] <= good for row in trial)
        found.setdefault(key, []).append(below)
    return [
        {"dataset": dataset, "damage": damage, "n": n, "good": sum(all_), "trials": len(all_)}
        for (dataset, damage, n), all_ in found.items()
    ]


def _trials(record: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The rows of each trial, one per extractor."""
    for _, rows in groupby(record["likeness"], lambda r: [r[key] for key in TRIAL]):
        yield list(rows)


def main() -> None:
    """Measure the datasets that are given, and write the record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    for dataset in DATASETS:
        parser.add_argument(f"--{dataset}", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    options = parser.parse_args()
    terminal.install()
    rows: list[dict[str, Any]] = []
    given = {name: getattr(options, name.replace("-", "_")) for name in DATASETS}
    for name, root in given.items():
        if root is not None:
            splits = DATASETS[name](root)
            assert splits.test is not None
            rows += measure_bounds(name, splits.train, splits.test, show=_show)
    names = [name for name, root in given.items() if root is not None]
    record: dict[str, Any] = {
        "command": f"{COMMAND} {' '.join(f'--{name} FOLDER' for name in names)} --out FILE",
        "datasets": names,
        "likeness": rows,
    }
    bounds = derive(record)
    record |= {"bounds": bounds, "graded_good": graded_good(record, bounds["likeness"][0])}
    with whole_file(options.out) as temporary:
        temporary.write_text(_lines(record))


def _lines(record: Mapping[str, Any]) -> str:
    """JSON with a row a line."""
    parts = []
    for key, value in record.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in value) + "\n]"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

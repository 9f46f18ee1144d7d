"""Train on synthetic, test on real: the classifiers, and the tables made of their predictions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from hvrt_diffuser.classifiers import ClassifierOptions, classify, train_classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.rows import Row

__all__ = ["Predictions", "Task", "mcnemar", "tabulate", "train_and_test"]

KIND = "predictions"


@dataclass(frozen=True)
class Task:
    """Classifiers to train on one row.

    Attributes:
        row: name of the row.
        n: its images.
        prepare: makes what gives the images; called once, and only if it is needed.
        against: name and n of the real row that it is compared with; None for a real row.
        reverse: synthetic images that the classifiers are tested on as well (TRTS).
    """

    row: str
    n: int
    prepare: Callable[[], Row]
    against: tuple[str, int] | None = None
    reverse: Row | None = None


@dataclass(frozen=True)
class Predictions:
    """What every classifier saw in every test image.

    Attributes:
        tested: by row, n and repetition: predictions int64 (m,) for the real test images.
        reverse: by n and repetition: share of synthetic images that a classifier of as many real
            ones sees as their label says.
        labels: int64 (m,), of the test images.
        origin: what the sampler was fitted by and on.
    """

    tested: dict[tuple[str, int, int], Tensor]
    reverse: dict[tuple[int, int], float]
    labels: Tensor
    origin: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, *self.packed())

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header."""
        tensors = {"/".join(map(str, key)): value for key, value in self.tested.items()}
        reverse = {"/".join(map(str, key)): value for key, value in self.reverse.items()}
        return {**tensors, "labels": self.labels}, {
            "kind": KIND,
            "reverse": reverse,
            "origin": dict(self.origin),
        }

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Predictions:
        """The opposite of :meth:`packed`."""
        tested = {}
        for name, values in tensors.items():
            if name != "labels":
                row, n, repetition = name.split("/")
                tested[row, int(n), int(repetition)] = values
        reverse = {}
        for name, value in header["reverse"].items():
            n, repetition = name.split("/")
            reverse[int(n), int(repetition)] = value
        return cls(tested, reverse, tensors["labels"], header["origin"])

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote."""
        return cls.unpacked(*read_tensors(path, KIND))


def train_and_test(
    tasks: Sequence[Task],
    test: LabelledImages,
    options: ClassifierOptions,
    *,
    seeds: int,
    seed: int,
    device: torch.device,
    origin: Mapping[str, Any],
    done: Predictions | None = None,
    keep: Callable[[Predictions], None] = lambda predictions: None,
) -> Predictions:
    """Train a classifier on every row in every repetition, and ask it about the test images.

    Every row gets the same network, hyperparameters and number of optimiser steps. A repetition
    has the same initial weights in every row and draws its images anew. On the CPU, as many
    classifiers as there are threads are trained at once, each with one thread: that is faster than
    one after the other with all threads, and the bytes do not depend on the number of cores.

    Args:
        tasks: the rows.
        test: real test images.
        options: of the classifier.
        seeds: repetitions.
        seed: of everything random.
        device: where to train.
        origin: of the sampler, to be kept with the predictions.
        done: what an earlier call that was cut off has kept.
        keep: is given all predictions so far after every classifier.

    Raises:
        InputError: test images of fewer than two classes, or a row with fewer images than a batch.
    """
    if len(test.labels.unique()) < 2:
        raise InputError(
            f"all {len(test):,} real test images are of one class, expected at least two: there is "
            "nothing to classify"
        )
    tested = dict(done.tested) if done else {}
    reverse = dict(done.reverse) if done else {}

    def one(task: Task, row: Row, repetition: int) -> tuple[Tensor, float | None]:
        own_seed = derive_seed(seed, "tstr", repetition)
        images, labels = row(own_seed)
        model = train_classifier(
            images, labels, len(test.class_names), options, seed=own_seed, device=device
        )
        _, probabilities = classify(model, test.images, device)
        share = None
        if task.reverse:
            synthetic, said = task.reverse(own_seed)
            _, seen = classify(model, synthetic, device)
            share = (seen.argmax(1) == said).double().mean().item()
        return probabilities.argmax(1), share

    jobs = [
        (task, repetition)
        for repetition in range(seeds)
        for task in tasks
        if (task.row, task.n, repetition) not in tested
    ]
    rows = {task: task.prepare() for task in dict.fromkeys(task for task, _ in jobs)}
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    with (
        progress("training on synthetic images", len(jobs), "classifiers") as advance,
        _one_thread_each(workers) as pool,
    ):
        futures = {pool.submit(one, task, rows[task], r): (task, r) for task, r in jobs}
        try:
            for future in as_completed(futures):
                task, repetition = futures[future]
                predicted, share = future.result()
                tested[task.row, task.n, repetition] = predicted
                if share is not None:
                    reverse[task.n, repetition] = share
                keep(Predictions(tested, reverse, test.labels, origin))
                accuracy = 100 * (predicted == test.labels).double().mean().item()
                advance(f"{task.row} of {task.n:,}: {accuracy:.2f}%")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return Predictions(tested, reverse, test.labels, origin)


@contextmanager
def _one_thread_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads compute alone; torch's number of threads is put back at the end."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=lambda: torch.set_num_threads(1)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Exact p-value that two classifiers err equally often (McNemar 1947).

    Only images that one gets right and the other wrong tell them apart.

    Args:
        first: (m,), which images the first classifier gets right.
        second: (m,), the same of the second.
    """
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(b, b + c).pvalue) if b + c else 1.0


def tabulate(
    predictions: Predictions,
    against: Mapping[tuple[str, int], tuple[str, int] | None],
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """A line per row: accuracy in percent over repetitions, and the test against the real row.

    Args:
        predictions: of all classifiers.
        against: by row and n, the real row that it is compared with; in the order of the table.
        class_names: of the test images.

    Returns:
        JSON: ``origin``, of the sampler; ``n_test``; ``rows``, of ``row``, ``n``, ``seeds``,
        ``mean``, ``std``, ``mcnemar_p`` (the median over repetitions; None for real rows),
        ``against``, ``accuracies`` and ``per_class``; ``trts`` by n; and ``confusion`` of every
        row, summed over repetitions, (k, k) with the real class first.
    """
    labels = predictions.labels.numpy()
    k = len(class_names)
    rows, confusions = [], []
    for (name, n), real in against.items():
        found = _of(predictions, name, n)
        right = np.stack([predicted == labels for predicted in found])  # (seeds, m)
        accuracies = (100 * right.mean(axis=1)).tolist()
        p = None
        if real:
            pairs = zip(right, _of(predictions, *real), strict=True)
            p = statistics.median(mcnemar(mine, theirs == labels) for mine, theirs in pairs)
        rows.append(
            {
                "row": name,
                "n": n,
                **_over_seeds(accuracies),
                "mcnemar_p": p,
                "against": list(real) if real else None,
                "accuracies": accuracies,
                "per_class": {
                    class_names[c]: 100 * float(right[:, labels == c].mean())
                    for c in range(k)
                    if (labels == c).any()
                },
            }
        )
        pairs_of_classes = np.concatenate([labels * k + predicted for predicted in found])
        counts = np.bincount(pairs_of_classes, minlength=k * k)
        confusions.append({"row": name, "n": n, "counts": counts.reshape(k, k).tolist()})
    trts: dict[int, list[float]] = {}
    for (n, _), share in sorted(predictions.reverse.items()):
        trts.setdefault(n, []).append(100 * share)
    return {
        "origin": dict(predictions.origin),
        "n_test": len(labels),
        "rows": rows,
        "trts": [{"n": n, **_over_seeds(shares)} for n, shares in trts.items()],
        "confusion": confusions,
    }


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    return {
        "seeds": len(values),
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values),
    }


def _of(predictions: Predictions, row: str, n: int) -> list[NDArray[np.int64]]:
    """The predictions of a row, by repetition."""
    keys = sorted(key for key in predictions.tested if key[:2] == (row, n))
    return [predictions.tested[key].numpy() for key in keys]

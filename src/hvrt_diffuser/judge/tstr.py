"""Train on synthetic, test on real: the classifiers, and the tables made of their predictions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.classifiers import (
    ClassifierOptions,
    JudgeOptions,
    classify,
    train_classifier,
    train_judge,
)
from hvrt_diffuser.common.engine import TaskKind, current
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.common.interruption import ending_together
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.augmentation import Augment, Augmentation, choose_augment
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.calibration import Calibration, calibration
from hvrt_diffuser.judge.folds import FOLDS, outside
from hvrt_diffuser.judge.intervals import bootstrap, bootstrap_gain, gain_p, holm
from hvrt_diffuser.judge.rows import Row, all_images, both, even_within, some_of

__all__ = ["Predictions", "Task", "cross_fit", "of_any_images", "tabulate", "train_and_test"]

KIND = "probabilities"
KIND_OF_ONE = "probabilities of one classifier"
SEED = 0  # of the resampling: a table is what the predictions say, whatever the run's seed


@dataclass(frozen=True)
class Task:
    """Classifiers to train on one row.

    Attributes:
        row: name of the row.
        n: its images.
        prepare: makes what gives the images; called once, and only if it is needed.
        against: name and n of the real row that it is compared with; None for a real row.
        reverse: synthetic images that the classifiers are tested on as well (TRTS).
        augment: changes each batch anew.
        until: trains until a validation split says stop, in place of equal steps.
        optional: images that cannot be made leave the row out, with the reason.
    """

    row: str
    n: int
    prepare: Callable[[], Row]
    against: tuple[str, int] | None = None
    reverse: Row | None = None
    augment: Augment | None = None
    until: JudgeOptions | None = None
    optional: bool = False


@dataclass(frozen=True)
class Predictions:
    """What every classifier saw in every test image.

    Attributes:
        probabilities: by row, n and repetition: float16 (m, k) of the real test images, the largest
            of which is the class that was predicted.
        reverse: by n and repetition: share of synthetic images that a classifier of as many real
            ones sees as their label says.
        labels: int64 (m,), of the test images.
        origin: what the sampler was fitted by and on.
        left_out: by row and n, why it could not be trained.
    """

    probabilities: dict[tuple[str, int, int], Tensor]
    reverse: dict[tuple[int, int], float]
    labels: Tensor
    origin: Mapping[str, Any]
    left_out: Mapping[tuple[str, int], str] = field(default_factory=dict)

    @cached_property
    def tested(self) -> dict[tuple[str, int, int], Tensor]:
        """The classes predicted, int64 (m,), by row, n and repetition."""
        return {key: values.argmax(1) for key, values in self.probabilities.items()}

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, *self.packed())

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header."""
        tensors = {"/".join(map(str, key)): value for key, value in self.probabilities.items()}
        return {**tensors, "labels": self.labels}, {
            "kind": KIND,
            "reverse": {"/".join(map(str, key)): value for key, value in self.reverse.items()},
            "origin": dict(self.origin),
            "left_out": {"/".join(map(str, key)): why for key, why in self.left_out.items()},
        }

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Predictions:
        """The opposite of :meth:`packed`."""
        probabilities = {}
        for name, values in tensors.items():
            if name != "labels":
                row, n, repetition = name.split("/")
                probabilities[row, int(n), int(repetition)] = values
        reverse = {}
        for name, value in header["reverse"].items():
            n, repetition = name.split("/")
            reverse[int(n), int(repetition)] = value
        left_out = {}
        for name, reason in header["left_out"].items():
            row, n = name.split("/")
            left_out[row, int(n)] = reason
        return cls(probabilities, reverse, tensors["labels"], header["origin"], left_out)

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote."""
        return cls.unpacked(*read_tensors(path, KIND))


class Lesson(NamedTuple):
    """How one classifier is trained.

    Attributes:
        n_classes: number of classes.
        options: of the classifier.
        until: trains until a validation split says stop, in place of equal steps.
        augment: changes each batch anew.
        seed: of the weights and the order of batches.
        device: where to train.
    """

    n_classes: int
    options: ClassifierOptions
    until: JudgeOptions | None
    augment: Augment | None
    seed: int
    device: str


def _learn(lesson: Lesson, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Train a classifier, and ask it about the test images.

    Args:
        lesson: how.
        given: ``images`` and ``labels`` to train on, ``test`` images, and, to ask about as well,
            ``synthetic`` images with what is ``said`` of each.

    Returns:
        ``probabilities`` float16 (m, k); ``share`` float64 (), of the synthetic images that it sees
        as is said.
    """
    device = torch.device(lesson.device)
    train = partial(train_classifier, options=lesson.options)
    if lesson.until is not None:
        train = partial(train_judge, options=lesson.until)
    model = train(
        given["images"],
        given["labels"],
        lesson.n_classes,
        seed=lesson.seed,
        device=device,
        augment=lesson.augment,
    )
    _, probabilities = classify(model, given["test"], device)
    found = {"probabilities": _halved(probabilities)}
    if "synthetic" in given:
        _, seen = classify(model, given["synthetic"], device)
        found["share"] = (seen.argmax(1) == given["said"]).double().mean()
    return found


def _save(found: dict[str, Tensor], path: Path) -> None:
    write_tensors(path, found, {"kind": KIND_OF_ONE})


def _load(path: Path) -> dict[str, Tensor]:
    return read_tensors(path, KIND_OF_ONE)[0]


CLASSIFIER = TaskKind(_learn, _save, _load)


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

    Every row gets the same network, hyperparameters and number of optimiser steps, but for one that
    is trained until validation stops it. A repetition has the same initial weights in every row and
    draws its images anew. On the CPU, as many classifiers as the engine has threads or workers are
    trained at once, each with one thread: that is faster than one after the other with all threads,
    and the bytes depend neither on the number of cores nor on the engine.

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
        InputError: test images of fewer than two classes, or a row that is not optional and cannot
            be trained.
    """
    if len(test.labels.unique()) < 2:
        raise InputError(
            f"all {len(test):,} real test images are of one class, expected at least two: there is "
            "nothing to classify"
        )
    options = options.for_rows(min((task.n for task in tasks), default=0))
    tested = dict(done.probabilities) if done else {}
    reverse = dict(done.reverse) if done else {}
    left_out = dict(done.left_out) if done else {}
    engine, k = current(), len(test.class_names)
    tested_on = engine.place({"test": test.images})

    def one(task: Task, row: Row, repetition: int) -> tuple[Tensor, float | None] | str:
        own_seed = derive_seed(seed, "tstr", repetition)
        try:
            images, labels = row(own_seed)
        except InputError as error:
            if not task.optional:
                raise
            return str(error)
        tensors = {"images": images, "labels": labels}
        if task.reverse:
            synthetic, said = task.reverse(own_seed)
            tensors |= {"synthetic": synthetic, "said": said}
        lesson = Lesson(k, options, task.until, task.augment, own_seed, str(device))
        found = engine.run(
            CLASSIFIER,
            f"the classifier of {task.row} of {task.n:,}, repetition {repetition}",
            lesson,
            tensors,
            tested_on,
            gpu=device.type == "cuda",
        )
        share = found["share"].item() if task.reverse else None
        return found["probabilities"], share

    # By row, so that classifiers at work at once do not wait for one generator.
    jobs = [
        (task, repetition)
        for task in tasks
        for repetition in range(seeds)
        if (task.row, task.n, repetition) not in tested and (task.row, task.n) not in left_out
    ]
    rows = {task: task.prepare() for task in dict.fromkeys(task for task, _ in jobs)}
    with (
        progress("training on synthetic images", len(jobs), "classifiers") as advance,
        engine.callers(device) as pool,
    ):
        futures = {pool.submit(one, task, rows[task], r): (task, r) for task, r in jobs}
        with ending_together(lambda: pool.shutdown(cancel_futures=True)):
            for future in as_completed(futures):
                task, repetition = futures[future]
                found = future.result()
                if isinstance(found, str):
                    left_out[task.row, task.n] = found
                    advance(f"{task.row} of {task.n:,} left out: {found}")
                    continue
                tested[task.row, task.n, repetition], share = found
                if share is not None:
                    reverse[task.n, repetition] = share
                keep(Predictions(dict(tested), dict(reverse), test.labels, origin, dict(left_out)))
                right = tested[task.row, task.n, repetition].argmax(1) == test.labels
                advance(f"{task.row} of {task.n:,}: {100 * right.double().mean().item():.2f}%")
    tested = {key: value for key, value in tested.items() if key[:2] not in left_out}
    return Predictions(tested, reverse, test.labels, origin, left_out)


def cross_fit(
    tasks_of: Callable[[LabelledImages], Sequence[Task]],
    pool: LabelledImages,
    fold_of: Tensor,
    options: ClassifierOptions,
    *,
    seeds: int,
    seed: int,
    device: torch.device,
    origin: Mapping[str, Any],
    done: Predictions | None = None,
    keep: Callable[[Predictions], None] = lambda predictions: None,
) -> Predictions:
    """:func:`train_and_test` of every fold in turn, by generators and classifiers of the others.

    Args:
        tasks_of: the rows of real training images, with the same names and n for every fold.
        pool: all real images.
        fold_of: int64 (m,), the fold of each.
        options, seeds, seed, device, origin: as there.
        done: what an earlier call that was cut off has kept.
        keep: is given all predictions so far after every classifier: zeros for folds to come.

    Returns:
        Every image of the pool is predicted once in each repetition.
    """
    whole = done or Predictions({}, {}, pool.labels, origin)
    for fold in range(FOLDS):
        inside = (fold_of == fold).nonzero()[:, 0]
        own = {key: values[inside] for key, values in whole.probabilities.items()}
        before = whole

        def merged(found: Predictions, inside: Tensor, before: Predictions) -> Predictions:
            probabilities = dict(before.probabilities)
            for key, values in found.probabilities.items():
                empty = torch.zeros(len(pool), values.shape[1], dtype=values.dtype)
                probabilities[key] = probabilities.get(key, empty).index_copy(0, inside, values)
            return replace(before, probabilities=probabilities, left_out=found.left_out)

        found = train_and_test(
            tasks_of(outside(pool, fold_of, fold)),
            pool[inside],
            options,
            seeds=seeds,
            seed=derive_seed(seed, "fold", fold),
            device=device,
            origin=origin,
            done=Predictions(
                {key: values for key, values in own.items() if values.any()},
                {},
                pool.labels[inside],
                origin,
                whole.left_out,
            ),
            keep=lambda found: keep(merged(found, inside, before)),  # noqa: B023  # called below
        )
        whole = merged(found, inside, before)
    kept = {k: v for k, v in whole.probabilities.items() if k[:2] not in whole.left_out}
    return replace(whole, probabilities=kept)


def of_any_images(
    train: LabelledImages,
    synthetic: LabelledImages,
    test: LabelledImages,
    classifier: ClassifierOptions,
    *,
    n: int,
    seeds: int,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """The table of synthetic images whose generator is not at hand.

    ``synthetic`` and the real row that it is compared with have as many images, of the same classes
    as far as there are synthetic ones. ``real_augmented`` has all training images, since the
    synthetic ones may have been made from all.

    Args:
        train: real images.
        synthetic: with the same classes; a class may have none.
        test: real images that nobody has seen.
        classifier: the same for every row.
        n: images of a row, at most; fewer where there are fewer.
        seeds: repetitions.
        seed: of everything random.
        device: where to train.

    Returns:
        JSON of :func:`tabulate`, and ``steps``.

    Raises:
        InputError: test images of fewer than two classes.
    """
    everything, k, most = len(train), len(train.class_names), n
    n = min(n, everything, len(synthetic))
    counts, made = (torch.bincount(images.labels, minlength=k) for images in (train, synthetic))
    wanted = even_within(counts, n)
    same = torch.minimum(wanted, made)
    drawn = some_of(synthetic, same + even_within(made - same, n - int(same.sum())))
    augment = choose_augment("auto", train.shape[0], Augmentation())
    real = ("real_equal_n", n) if n < everything else ("real_all", everything)
    augmented = ("real_augmented", everything)

    def task(key: tuple[str, int], row: Row, **options: Any) -> Task:
        return Task(*key, lambda: row, **options)

    rows = [
        task(("real_all", everything), all_images(train)),
        task(real, some_of(train, wanted), reverse=drawn),
        task(("synthetic", n), drawn, against=real),
        task(augmented, all_images(train), against=("real_all", everything), augment=augment),
        task(
            ("real_augmented_and_synthetic", everything + n),
            both(all_images(train), drawn),
            against=augmented,
            augment=augment,
        ),
    ]
    tasks = list({(each.row, each.n): each for each in rows}.values())
    predictions = train_and_test(
        tasks, test, classifier, seeds=seeds, seed=seed, device=device, origin={}
    )
    against = {(each.row, each.n): each.against for each in tasks}
    asked = {key: most for key in (real, ("synthetic", n))}
    return {
        "steps": classifier.steps,
        **tabulate(predictions, against, train.class_names, asked=asked),
    }


def _halved(probabilities: Tensor) -> Tensor:
    """As float16, with the same class the largest."""
    halves, predicted = probabilities.half().numpy(), probabilities.argmax(1).numpy()
    rows = (halves.argmax(1) != predicted).nonzero()[0]  # a tie after rounding
    halves[rows, predicted[rows]] = np.nextafter(halves[rows].max(axis=1), np.float16(np.inf))
    return torch.from_numpy(halves)


def tabulate(
    predictions: Predictions,
    against: Mapping[tuple[str, int], tuple[str, int] | None],
    class_names: tuple[str, ...],
    *,
    asked: Mapping[tuple[str, int], int] | None = None,
    left_out: Mapping[tuple[str, int], str] | None = None,
) -> dict[str, Any]:
    """A line per row: what classifiers get right, and what they gain over the real row.

    Intervals are of 95 %, over test images and repetitions, see
    :func:`hvrt_diffuser.judge.intervals.bootstrap`.

    Args:
        predictions: of all classifiers.
        against: by row and n, the real row that it is compared with; in the order of the table.
        class_names: of the test images.
        asked: the images that were asked for, where there are fewer.
        left_out: by row and n, why it was not tried.

    Returns:
        JSON:

        - ``origin``, of the sampler; ``n_test``; ``n_classes``, of the test images; ``left_out``,
          of ``row``, ``n`` and ``reason``;
        - ``rows``, of ``row``, ``n``, ``asked``, ``seeds``; accuracy in percent as ``mean``,
          ``std`` (over repetitions), ``low``, ``high`` and ``accuracies``; its mean over classes as
          ``balanced``, ``balanced_low``, ``balanced_high``; ``against``; ``gain`` over that row in
          points of balanced accuracy (``mean``, ``low``, ``high``), its ``p`` and ``p_holm``, over
          all rows that are compared; ``per_class`` and ``gain_per_class`` (the same three, by
          class); ``brier``, ``nll`` and ``ece``, means over repetitions. What compares is None for
          a real row;
        - ``gain_over_augmentation``, of synthetic images beside real ones that are augmented: the
          gain, ``of`` which row and ``over`` which; of few real images where there are such rows.
          ``gain_of_augmentation``, of the latter over the same without augmentation. None where
          the rows are not there;
        - ``trts`` by n; ``confusion`` of every row, summed over repetitions, (k, k) with the real
          class first.
    """
    labels = predictions.labels.numpy()
    seen = {key: _of(predictions, *key) for key in against}
    seen = {key: own for key, own in seen.items() if len(own)}
    compared = {key: real for key, real in against.items() if real and key in seen and real in seen}
    right = {key: own.argmax(axis=2) == labels for key, own in seen.items()}
    p = {
        key: gain_p(right[key], right[real], labels, seed=SEED, balanced=True)
        for key, real in compared.items()
    }
    p_holm = holm(p)
    rows = [
        {
            "row": key[0],
            "n": key[1],
            "asked": (asked or {}).get(key, key[1]),
            **_accuracy(right[key], labels),
            **_gain(right[key], right.get(compared.get(key, ("", 0))), labels, class_names),
            "against": list(compared[key]) if key in compared else None,
            "p": p.get(key),
            "p_holm": p_holm.get(key),
            **_calibrated(own, labels),
        }
        for key, own in seen.items()
    ]
    trts: dict[int, list[float]] = {}
    for (n, _), share in sorted(predictions.reverse.items()):
        trts.setdefault(n, []).append(100 * share)
    return {
        "origin": dict(predictions.origin),
        "n_test": len(labels),
        "n_classes": len(np.unique(labels)),
        "left_out": [
            {"row": row, "n": n, "reason": reason}
            for (row, n), reason in {**(left_out or {}), **predictions.left_out}.items()
        ],
        "rows": rows,
        **_of_augmentation(rows),
        "trts": [{"n": n, **_over_seeds(shares)} for n, shares in trts.items()],
        "confusion": [
            {"row": key[0], "n": key[1], "counts": _confusion(own, labels, len(class_names))}
            for key, own in seen.items()
        ],
    }


def _accuracy(right: NDArray[np.bool_], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Of one row, right (r, m)."""
    accuracies = (100 * right.mean(axis=1)).tolist()
    plain = bootstrap(right, labels, seed=SEED)
    balanced = bootstrap(right, labels, seed=SEED, balanced=True)
    return {
        **_over_seeds(accuracies),
        "low": plain.low,
        "high": plain.high,
        "accuracies": accuracies,
        "balanced": balanced.mean,
        "balanced_low": balanced.low,
        "balanced_high": balanced.high,
    }


def _gain(
    right: NDArray[np.bool_],
    real: NDArray[np.bool_] | None,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """Of one row over the real one, and both by class."""
    own = {class_names[c]: labels == c for c in np.unique(labels)}
    per_class = {
        name: bootstrap(right[:, of], labels[of], seed=SEED)._asdict() for name, of in own.items()
    }
    if real is None:
        return {"gain": None, "per_class": per_class, "gain_per_class": None}
    return {
        "gain": bootstrap_gain(right, real, labels, seed=SEED, balanced=True)._asdict(),
        "per_class": per_class,
        "gain_per_class": {
            name: bootstrap_gain(right[:, of], real[:, of], labels[of], seed=SEED)._asdict()
            for name, of in own.items()
        },
    }


def _calibrated(probabilities: NDArray[np.float16], labels: NDArray[np.int64]) -> dict[str, float]:
    scores = [calibration(own, labels) for own in probabilities]
    means = (statistics.fmean(values) for values in zip(*scores, strict=True))
    return Calibration(*means)._asdict()


def _of_augmentation(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What augmentation gains, and synthetic images beyond it."""
    found = {(row["row"], row["n"]): row for row in rows}
    gains: dict[str, Any] = {"gain_over_augmentation": None, "gain_of_augmentation": None}
    for few in ("few_shot_", ""):
        name = f"{few}real_augmented_and_synthetic"
        for of in (row for row in rows if row["row"] == name and row["gain"]):
            over = found[tuple(of["against"])]
            for key, row in (("over", of), ("of", over)):
                if row["gain"]:
                    gains[f"gain_{key}_augmentation"] = {
                        **row["gain"],
                        "of": [row["row"], row["n"]],
                        "over": row["against"],
                    }
            return gains
    return gains


def _confusion(
    probabilities: NDArray[np.float16], labels: NDArray[np.int64], k: int
) -> list[list[int]]:
    pairs = (labels * k + probabilities.argmax(axis=2)).ravel()
    counts: list[list[int]] = np.bincount(pairs, minlength=k * k).reshape(k, k).tolist()
    return counts


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    return {
        "seeds": len(values),
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values),
    }


def _of(predictions: Predictions, row: str, n: int) -> NDArray[np.float16]:
    """The probabilities of a row by repetition, (r, m, k); r is 0 where there are none."""
    keys = sorted(key for key in predictions.probabilities if key[:2] == (row, n))
    return np.array([predictions.probabilities[key].numpy() for key in keys], np.float16)

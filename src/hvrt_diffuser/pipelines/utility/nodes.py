"""Nodes of ``balance`` and ``shots``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.figures import label, literal, titled_figure
from hvrt_diffuser.data.augmentation import choose_augment
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import Predictions
from hvrt_diffuser.judge.imbalance import imbalance, thinned
from hvrt_diffuser.judge.kept_fits import KeptFits, setting_folder
from hvrt_diffuser.judge.sweeps import sweep_shots
from hvrt_diffuser.pipelines.utility.parameters import BalanceTask, ShotsTask
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["compare_remedies", "measure_shots", "plot_balance", "plot_shots"]

Table = dict[str, Any]


def compare_remedies(
    images_train: LabelledImages,
    images_test: LabelledImages,
    generator: HVRTDiffuser,
    task: BalanceTask,
    checkpoint: Checkpoint,
    folder: Path,
) -> Table:
    """Classifiers after each remedy for classes of unequal size.

    Where classes are made smaller on purpose, the generator and its autoencoder are trained anew,
    on the images that are left, and kept in the folder until all classifiers are.

    Raises:
        InputError: classes of equal size, or counts that do not fit the images.
    """
    where = resolve_device(task.device or "auto")
    train = images_train
    if task.counts is not None:
        train = thinned(images_train, task.counts, seed=task.seed)
    setting = _setting(task, train, images_test, generator=generator.origin)
    if task.counts is not None:
        fits = KeptFits(
            setting_folder(folder, setting),
            {task.sampler.name: task.sampler.estimator()},
            task.ae_training.chosen,
            task.augmentation,
            len(images_train),
            where,
        )
        generator = fits.fit(task.sampler.name, train.images, train.labels, seed=task.seed)
    drawer = HVRTDiffuser(generator.autoencoder, generator.sampler, where)

    def generate(class_id: int, n: int, seed: int) -> Tensor:
        return drawer.generate_conditional(n, class_id=class_id, seed=seed)

    found = imbalance(
        train,
        images_test,
        generate,
        task,
        classifier=task.classifier,
        augment=choose_augment(task.augment, train.shape[0], task.augmentation),
        autoencoder=generator.autoencoder,
        origin=generator.origin,
        seed=task.seed,
        device=where,
        **_kept(checkpoint, setting),
    )
    shutil.rmtree(folder, ignore_errors=True)
    return found


def measure_shots(
    images_train: LabelledImages,
    images_test: LabelledImages,
    task: ShotsTask,
    checkpoint: Checkpoint,
    folder: Path,
) -> Table:
    """Few real images with and without synthetic ones, both augmented.

    Generators are kept in the folder until all classifiers are trained.

    Raises:
        InputError: a class has too few images, or test images of one class.
    """
    setting = _setting(task, images_train, images_test)
    found = sweep_shots(
        images_train,
        images_test,
        task.estimators(),
        task.ae_training.chosen,
        task,
        classifier=task.classifier,
        augment=choose_augment(task.augment, images_train.shape[0], task.augmentation),
        augmentation=task.augmentation,
        seed=task.seed,
        device=resolve_device(task.device or "auto"),
        folder=setting_folder(folder, setting),
        **_kept(checkpoint, setting),
    )
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _setting(
    task: BalanceTask | ShotsTask, train: LabelledImages, test: LabelledImages, **more: Any
) -> dict[str, str]:
    """What a run must share with one that was cut off, to go on from there."""
    devices = {"device": True, "ae_training": {"device"}, "sampler": {"device"}}
    return {
        "task": task.model_dump_json(exclude=devices),  # type: ignore[arg-type]
        "images": fingerprint(train),
        "images_test": fingerprint(test),
        **{name: json.dumps(value, sort_keys=True) for name, value in more.items()},
    }


def _kept(checkpoint: Checkpoint, setting: Mapping[str, str]) -> dict[str, Any]:
    """The predictions of a run that was cut off, and what keeps those of this one."""
    kept = checkpoint.read(setting)

    def keep(predictions: Predictions) -> None:
        checkpoint.write(*predictions.packed(), setting)

    return {"done": Predictions.unpacked(*kept) if kept else None, "keep": keep}


def plot_balance(balance_metrics: Table) -> Figure:
    """Balanced accuracy after each remedy, and the recall of the rarest class, with intervals."""
    rows = balance_metrics["rows"]
    figure = titled_figure("What helps the rarest class", 9, 1.6 + 0.4 * len(rows))
    accuracy, recall = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        for axes, found in ((accuracy, row), (recall, row["recall"])):
            if found is not None:
                axes.plot([found["low"], found["high"]], [place, place], color="C0")
                axes.plot(found["mean"], place, "o", color="C0")
    reference = next(row for row in rows if row["gain"] is None)
    accuracy.axvline(reference["mean"], color="C1", linewidth=0.8)
    accuracy.set_yticks(range(len(rows)), [label(row["row"].replace("_", " ")) for row in rows])
    accuracy.set_ylim(len(rows) - 0.5, -0.5)
    accuracy.set_xlabel(
        f"balanced accuracy on {balance_metrics['n_test']:,} test images, %: more is better"
    )
    recall.set_xlabel(
        f"recall of class {label(balance_metrics['rarest'])}, the rarest,\n"
        f"at {balance_metrics['precision']:.0%} precision, %: more is better"
    )
    if all(row["recall"] is None for row in rows):
        recall.text(
            0.5, 0.5, literal(rows[0]["reason"]), ha="center", wrap=True, transform=recall.transAxes
        )
    for axes in (accuracy, recall):
        axes.grid(axis="x", alpha=0.3)
    return figure


def plot_shots(shots_metrics: Table) -> Figure:
    """What synthetic images gain over augmenting few real ones, by number, sampler and ratio."""
    names: list[str] = list(shots_metrics["samplers"])
    title = "What synthetic images add to few real ones"
    figure = titled_figure(title, 1.5 + 4 * len(names), 4.1)
    every = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    places = {m: place for place, m in enumerate(shots_metrics["shots"])}
    ratios = shots_metrics["ratios"]
    for axes, name in zip(every, names, strict=True):
        for turn, ratio in enumerate(ratios):
            rows = [r for r in shots_metrics["rows"] if (r["row"], r["ratio"]) == (name, ratio)]
            aside = 0.12 * (turn - (len(ratios) - 1) / 2)
            for row in rows:
                x, gain = places[row["shots"]] + aside, row["gain"]
                axes.plot([x, x], [gain["low"], gain["high"]], color=f"C{turn % 10}")
            axes.plot(
                [places[row["shots"]] + aside for row in rows],
                [row["gain"]["mean"] for row in rows],
                "o",
                color=f"C{turn % 10}",
                label=f"{ratio} synthetic for each real one",
            )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(list(places.values()), [f"{m:,}" for m in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set(title=label(name), xlabel="real images of each class")
        axes.grid(axis="y", alpha=0.3)
    every[0].set_ylabel("gain over augmentation,\npoints of balanced accuracy: more is better")
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure

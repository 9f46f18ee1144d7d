"""Nodes of ``tstr``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.figures import literal, titled_figure
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import Predictions, Task, cross_fit, tabulate, train_and_test
from hvrt_diffuser.judge.kept_fits import setting_folder
from hvrt_diffuser.pipelines.tstr.parameters import TSTRTask
from hvrt_diffuser.pipelines.tstr.tasks import REPETITIONS, list_tasks, plan_rows
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["plot_tstr", "tabulate_tstr", "train_synthetic_test_real"]


def train_synthetic_test_real(
    images_train: LabelledImages,
    images_test: LabelledImages,
    generator: HVRTDiffuser,
    vae: Autoencoder,
    task: TSTRTask,
    checkpoint: Checkpoint,
    folder: Path,
) -> Predictions:
    """What classifiers trained on each row see in the test images, over several repetitions.

    Generators that saw few images are kept in the folder until all classifiers are trained.

    Raises:
        InputError: a class has too few images for a row, or the generator knows no classes.
    """
    where = resolve_device(task.device or "auto")
    setting = {
        "task": task.model_dump_json(
            exclude={"device": True, "ae_training": {"device"}, "sampler": {"device"}}
        ),
        "generator": json.dumps(generator.origin, sort_keys=True),
        "vae": vae.fingerprint(),
        "images": fingerprint(images_train),
        "images_test": fingerprint(images_test),
    }
    kept = checkpoint.read(setting)
    done = Predictions.unpacked(kept[0], kept[1]) if kept else None

    def keep(predictions: Predictions) -> None:
        checkpoint.write(*predictions.packed(), setting)

    plan = plan_rows(images_train, images_test, task)
    if not plan.against:
        return Predictions({}, {}, images_test.labels, generator.origin)

    of_setting = setting_folder(folder, setting)

    def tasks_of(train: LabelledImages) -> list[Task]:
        return list_tasks(train, plan, generator, vae, task, where, of_setting)

    how: dict[str, Any] = {
        "seeds": task.seeds,
        "seed": task.seed,
        "device": where,
        "origin": generator.origin,
        "done": done,
        "keep": keep,
    }
    if plan.fold_of is not None:
        assert plan.pool is not None, "they come together"
        how["seeds"] = min(task.seeds, REPETITIONS)
        found = cross_fit(tasks_of, plan.pool, plan.fold_of, task.classifier, **how)
    else:
        found = train_and_test(tasks_of(images_train), images_test, task.classifier, **how)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def tabulate_tstr(
    tstr_predictions: Predictions,
    images_train: LabelledImages,
    images_test: LabelledImages,
    task: TSTRTask,
) -> tuple[dict[str, Any], Figure]:
    """The table of accuracies with what stands behind it, and its picture."""
    plan = plan_rows(images_train, images_test, task)
    metrics = {
        "steps": task.classifier.steps,
        "cross_fitted": plan.fold_of is not None,
        **tabulate(
            tstr_predictions,
            plan.against,
            images_train.class_names,
            asked=plan.asked,
            left_out=plan.left_out,
        ),
    }
    return metrics, plot_tstr(metrics)


def plot_tstr(tstr_metrics: dict[str, Any]) -> Figure:
    """The test error of each repetition of each row, their mean and its 95 % interval."""
    rows = tstr_metrics["rows"]
    title = "Classifiers trained on each row, tested on real images"
    if not rows:
        figure = titled_figure(title, 6, 1.5)
        figure.text(0.5, 0.5, "no classifier was trained", ha="center", va="center")
        return figure
    figure = titled_figure(title, 6, 1.2 + 0.44 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        errors = [100 - accuracy for accuracy in row["accuracies"]]
        axes.plot(errors, [place] * len(errors), "o", alpha=0.5, color="C0")
        axes.plot([100 - row["high"], 100 - row["low"]], [place] * 2, color="C1")
        axes.plot(100 - row["mean"], place, "|", markersize=14, color="C1")
    names = [
        f"{row['row']}, {row['n']:,}\naccuracy {row['mean']:.2f} [{row['low']:.2f}, "
        f"{row['high']:.2f}]"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), [literal(name) for name in names], fontsize=8)
    axes.set_xscale("symlog", linthresh=1)  # chance is at 90%, what matters near 1%
    axes.set_xticks([0, 1, 2, 5, 10, 20, 50, 100], ["0", "1", "2", "5", "10", "20", "50", "100"])
    axes.set_xlim(0, 110)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"errors on {tstr_metrics['n_test']:,} real test images, %:\nless is better")
    axes.grid(axis="x", alpha=0.3)
    return figure

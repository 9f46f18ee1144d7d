"""What ``hvrt-diffuser judge`` prints and writes: the verdict, its page, its JSON and a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hvrt_diffuser.common.names import plain
from hvrt_diffuser.common.shared_folder import SharedFolder
from hvrt_diffuser.data.card import CardFacts, dataset_card
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.report.page import Picture, render_page
from hvrt_diffuser.report.pictures import MOST_CLASSES, closest_pairs, first_of_each
from hvrt_diffuser.report.plots import plot_image_rows
from hvrt_diffuser.report.verdict import utility_lines, verdict_lines

__all__ = ["describe", "verdict_place", "write"]

FILES = ("report.html", "report.json", "README.md")


def describe(report: Mapping[str, Any]) -> str:
    """The verdict for the terminal."""
    lines = verdict_lines(report["verdict"])
    if report["worst_class"]:
        lines.append(f"{'Worst class':18}{report['worst_class']}")
    title = "Real images"
    for sentence in report["data"]["sentences"]:
        lines.append(f"{title:18}{sentence}")
        title = ""
    if report["tstr"]:
        lines += utility_lines(report["tstr"], report["tstr_protocol"]["n_test"])
    return "\n".join(map(plain, lines))


def verdict_place(folder: Path) -> SharedFolder:
    """A folder for a verdict: the user may edit all of it, and have own files there."""
    return SharedFolder(folder, "verdict", FILES, among=True)


def write(
    report: Mapping[str, Any],
    train: LabelledImages,
    synthetic: LabelledImages,
    test: LabelledImages | None,
    place: SharedFolder,
    *,
    command: str,
) -> None:
    """Write ``report.html``, ``report.json`` and ``README.md``, a card to lay beside the images.

    Args:
        report: of :func:`hvrt_diffuser.judge.judge`.
        train: real training images.
        synthetic: what was judged.
        test: real test images, if any.
        place: of :func:`verdict_place`.
        command: as typed.
    """
    texts = {
        "report.json": json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.html": render_page(report, _pictures(report, train, synthetic, test)),
        "README.md": dataset_card(_facts(report, synthetic, command)),
    }
    with place.filled() as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def _pictures(
    report: Mapping[str, Any],
    train: LabelledImages,
    synthetic: LabelledImages,
    test: LabelledImages | None,
) -> dict[str, list[Picture]]:
    real = train if test is None else test
    shown = {"Real images.": real, "Synthetic images.": synthetic}
    found = {"images": [_grid(images, caption) for caption, images in shown.items()]}
    pairs = report["copies"].get("nearest", [])
    return {**found, "nearest": closest_pairs(train.images, synthetic.images, pairs)}


def _grid(images: LabelledImages, caption: str) -> Picture:
    present = images.labels.unique()[:MOST_CLASSES].tolist()
    names = [images.class_names[c] for c in present]
    return Picture(
        plot_image_rows(
            caption.rstrip("."), images.images[first_of_each(images.labels, present)], names
        ),
        caption,
        f"{caption} Some of each of the classes {', '.join(names)}, a row per class.",
        "png",
    )


def _facts(report: Mapping[str, Any], synthetic: LabelledImages, command: str) -> CardFacts:
    counts = torch.bincount(synthetic.labels, minlength=len(synthetic.class_names)).tolist()
    machine = report["machine"]
    return CardFacts(
        title=f"Synthetic images: {synthetic.source}",
        form="parquet" if synthetic.source.startswith("parquet") else "image_folder",
        classes=list(zip(synthetic.class_names, counts, strict=True)),
        shape=synthetic.shape,
        source=report["dataset"]["source"],
        n_training=report["dataset"]["n_train"],
        autoencoder=None,
        sampler=None,
        seed=None,
        versions={k: v for k, v in machine.items() if k not in ("processor", "system")},
        command=command,
        verdict=[
            f"{own['question']} {own['sentence']} "
            + " ".join(finding["sentence"] for finding in own["findings"])
            for own in report["verdict"].values()
        ],
        evidence=[],
    )

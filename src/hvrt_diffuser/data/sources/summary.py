"""What came out of a source: which images of which class are where, and what was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.notes import Note, as_json

__all__ = ["as_table", "summarise_images"]

ROWS = 20  # classes in a table; the JSON has all of them


def summarise_images(
    train: LabelledImages, test: LabelledImages, notes: Sequence[Note]
) -> dict[str, Any]:
    """JSON: ``source``, ``shape``, images by class and split as ``classes``, and ``notes``."""
    k = len(train.class_names)
    counts = [torch.bincount(images.labels, minlength=k).tolist() for images in (train, test)]
    return {
        "source": train.source,
        "shape": list(train.shape),
        "classes": {
            name: {"train": in_train, "test": in_test}
            for name, in_train, in_test in zip(train.class_names, *counts, strict=True)
        },
        "notes": as_json(notes),
    }


def as_table(summary: Mapping[str, Any]) -> str:
    """The same as lines of text: a row per class, a row per note."""
    classes = list(summary["classes"].items())
    c, h, w = summary["shape"]
    rows: list[tuple[str, ...]] = [("class", "name", "train", "test")]
    for i, (name, counts) in list(enumerate(classes))[:ROWS]:
        rows.append((str(i), name, f"{counts['train']:,}", f"{counts['test']:,}"))
    if len(classes) > ROWS:
        rows.append(("", f"and {len(classes) - ROWS} more classes", "", ""))
    sums = [sum(counts[split] for _, counts in classes) for split in ("train", "test")]
    rows.append(("", "all", *(f"{n:,}" for n in sums)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{summary['source']}: images of {w}x{h} pixels, {'grey' if c == 1 else 'RGB'}"]
    for number, name, *counts in rows:
        cells = [number.rjust(widths[0]), name.ljust(widths[1])]
        cells += [count.rjust(width) for count, width in zip(counts, widths[2:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    notes = [Note(note["what"], note["n"], tuple(note["names"])) for note in summary["notes"]]
    return "\n".join([*lines, *(f"- {note}" for note in notes)])

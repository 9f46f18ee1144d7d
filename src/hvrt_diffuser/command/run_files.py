"""The runs below a folder ``data``: found, summarised from their reports, and deleted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hvrt_diffuser.command.parser import suggestion
from hvrt_diffuser.common.contents import ReportSummary, read_content
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import plain
from hvrt_diffuser.common.shared_folder import MANIFEST
from hvrt_diffuser.data.card import export_place

__all__ = ["QUESTIONS", "Run", "delete", "find", "find_all", "table"]

QUESTIONS = ("likeness", "utility", "novelty", "membership")
REPORTS = "08_reporting"
# Layers that hold a folder of each run; raw images are nobody's run.
LAYERS = ("03_primary", "04_feature", "06_models", "07_model_output", REPORTS)
IN_PLACE_OF_REAL = ("synthetic", "synthetic_equal_information")  # rows of TSTR


@dataclass(frozen=True)
class Run:
    """A run by its name, and its folders in all layers."""

    name: str
    folders: tuple[Path, ...]

    @property
    def report(self) -> dict[str, Any] | None:
        """What the stage ``report`` wrote; None where it did not run, or its file is broken."""
        places = [folder for folder in self.folders if folder.parent.name == REPORTS]
        try:
            found: dict[str, Any] = read_content(places[0] / "report.json", ReportSummary)
        except (InputError, IndexError):
            return None
        return found

    @property
    def files(self) -> list[Path]:
        """All of its files."""
        return [path for folder in self.folders for path in folder.rglob("*") if path.is_file()]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def when(self) -> str:
        """Date and time of its newest file."""
        times = [path.stat().st_mtime for path in self.files]
        return f"{datetime.fromtimestamp(max(times)):%Y-%m-%d %H:%M}" if times else "-"

    def summary(self) -> dict[str, str]:
        """What a table shows of it, by what it is called; ``-`` where nothing is known."""
        report = self.report or {}
        verdict, tstr = report.get("verdict", {}), report.get("tstr") or []
        rows = [row for row in tstr if row.get("row") in IN_PLACE_OF_REAL]
        parameters = report.get("parameters", {})
        fd = _at(report, "evaluation", "fd_classifier", "synthetic")
        likeness, gain = report.get("likeness"), report.get("gain_over_augmentation")
        return {
            "images": str(_at(report, "dataset", "source") or "-"),
            "sampler": str(parameters.get("generation.sampler") or "-"),
            "when": self.when,
            **{name: str(_at(verdict, name, "grade") or "-") for name in QUESTIONS},
            "E": _interval(likeness, "e", 3),
            "FD": "-" if fd is None else f"{fd:.2f}",
            "TSTR %": _interval(rows[-1] if rows else None, "mean", 2),
            "gain": _interval(gain, "mean", 2),
        }


def find_all(data: Path) -> list[Run]:
    """All runs below a folder, by name.

    Raises:
        InputError: the folder holds no layers of data.
    """
    layers = _layers(data)
    names = {folder.name for layer in layers for folder in layer.iterdir() if folder.is_dir()}
    return [
        Run(name, tuple(layer / name for layer in layers if (layer / name).is_dir()))
        for name in sorted(names)
        if not name.startswith(".")
    ]


def find(data: Path, name: str) -> Run:
    """The run of a name.

    Raises:
        InputError: there is none, or the folder holds no layers of data.
    """
    runs = {run.name: run for run in find_all(data)}
    if name not in runs:  # a path is no name, either
        there = suggestion(name, runs) if runs else "there are none"
        raise InputError(f"{data} holds no run called {name!r}: {there}")
    return runs[name]


def delete(run: Run) -> None:
    """Delete all files of a run; where a folder is a link, the link alone.

    Raises:
        InputError: files of the user's lie in an export; nothing is deleted then.
    """
    real = [folder for folder in run.folders if not folder.is_symlink()]
    exports = [path.parent for folder in real for path in folder.rglob(MANIFEST)]
    if others := [path for each in exports for path in export_place(each).others]:
        more = f" and {len(others) - 1} more" if others[1:] else ""
        raise InputError(
            f"{others[0]}{more} is not as hvrt_diffuser wrote it and would be deleted, expected "
            "an export alone: move it away"
        )
    for folder in run.folders:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)


def table(rows: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> list[str]:
    """Lines of a table: a head, and a line for each row."""
    found = [["", *columns], *([name, *(row[c] for c in columns)] for name, row in rows.items())]
    cells = [[plain(cell) for cell in line] for line in found]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns) + 1)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _layers(data: Path) -> list[Path]:
    """The layers below a folder, or below the folder of a project or of ``make``."""
    for place in (data, data / "data", data / "run" / "data"):
        found = [place / name for name in LAYERS if (place / name).is_dir()]
        if found:
            return found
    raise InputError(
        f"{data} holds no run, expected a folder data/ of a project, or one that hvrt-diffuser "
        "make filled: give it by --data"
    )


def _at(block: Any, *path: str) -> Any:
    for name in path:
        block = block.get(name) if isinstance(block, Mapping) else None
    return block


def _interval(block: Mapping[str, Any] | None, name: str, digits: int) -> str:
    if not block or block.get(name) is None:
        return "-"
    text = f"{block[name]:.{digits}f}"
    low, high = block.get("low"), block.get("high")
    return text if low is None or high is None else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"

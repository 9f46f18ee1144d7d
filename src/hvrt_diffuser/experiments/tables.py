"""The tables of experiments: a row for each job, means over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from hvrt_diffuser.experiments.ledger import Entry

__all__ = ["floors", "summarise"]

SAME = ("row", "group", "values", "what", "of")
DEVIATIONS = ("fd_classifier", "dcr_image", "tstr")
FLOORS = (
    "real_floor",
    "copy_floor",
    "reconstruction_floor",
    "real_tstr",
    "copy_tstr",
    "authentic_fresh",
)


def summarise(entries: Sequence[Entry]) -> list[Entry]:
    """A row per job: means over the seeds, the most memory, deviations of FD, DCR and TSTR.

    Args:
        entries: of :meth:`hvrt_diffuser.experiments.Runner.run`.

    Returns:
        JSON; a measure that a repetition lacks is None.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["row"], []).append(entry)
    rows = []
    for group in groups.values():
        row: Entry = {name: group[0][name] for name in SAME} | {"seeds": len(group)}
        for name in [k for k in group[0] if k not in (*SAME, "repetition", "ms_per_image")]:
            row[name] = _mean([entry.get(name) for entry in group])
        if "ms_per_image" in group[0]:
            row["ms_per_image"] = {
                batch: statistics.median(entry["ms_per_image"][batch] for entry in group)
                for batch in group[0]["ms_per_image"]
            }
        # A fit in memory that one before it freed takes none: the most is what it needs.
        peaks = [entry["peak_mb"] for entry in group if entry.get("peak_mb") is not None]
        row["peak_mb"] = max(peaks, default=None)
        for name in DEVIATIONS:
            row[f"{name}_std"] = _deviation([entry.get(name) for entry in group])
        rows.append(row)
    return rows


def floors(entries: Sequence[Entry]) -> Entry:
    """Means and deviations, over the seeds, of what the run's own autoencoder allows for."""
    own = [e for e in entries if "copy_floor" in e and "autoencoder" not in e["of"]]
    by_seed = list({entry["repetition"]: entry for entry in own}.values())
    found: Entry = {}
    for name in [name for name in FLOORS if by_seed and name in by_seed[0]]:
        values = [entry[name] for entry in by_seed]
        found |= {name: _mean(values), f"{name}_std": _deviation(values)}
    return found


def _mean(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    if all(value == values[0] for value in values):
        return values[0]  # whole numbers stay whole
    return None if None in values else statistics.fmean(values)


def _deviation(values: Sequence[Any]) -> float | None:
    return None if None in values or len(values) < 2 else statistics.stdev(values)

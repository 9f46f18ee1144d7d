"""The frontier as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

__all__ = ["plot_frontier_of_samplers"]

MARKERS = "osD^vP*X<>hp"
COLOURS = colormaps["tab20"].colors[::2] + colormaps["tab20"].colors[1::2]  # type: ignore[attr-defined]
FLOOR_NAMES = {
    "real_floor": "real training images",
    "reconstruction_floor": "test images, decoded",
    "copy_floor": "training images, decoded",
}


def plot_frontier_of_samplers(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Fréchet distance and TSTR of every sampler against its novelty.

    Args:
        rows: of the table, floors among them.
    """
    floors = {row["sampler"]: row for row in rows if row["strength"] is None}
    samplers: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["strength"] is not None:
            samplers.setdefault(row["sampler"], []).append(row)

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    fidelity, utility = figure.subplots(1, 2)
    for place, (name, points) in enumerate(samplers.items()):
        ordered = sorted(points, key=lambda row: row["strength"])
        style: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "ms": 5}
        style["color"] = COLOURS[place % len(COLOURS)]
        novelty = [row["dcr_image"] for row in ordered]
        evaluations = max(row["evaluations"] for row in ordered)
        cost = f" ({evaluations} evaluation{'s' * (evaluations > 1)})" if evaluations else ""
        fidelity.plot(
            novelty, [row["fd"] for row in ordered], label=name.replace("_", " ") + cost, **style
        )
        utility.errorbar(
            novelty,
            [100 - row["tstr"] for row in ordered],
            [row["tstr_std"] or 0 for row in ordered],
            elinewidth=0.8,
            **style,
        )
    for place, (name, row) in enumerate(floors.items()):
        line = {"color": "0.35", "linestyle": ("-", "--", ":")[place % 3], "linewidth": 1}
        fidelity.axhline(row["fd"], label=f"{FLOOR_NAMES[name]} (floor)", **line)
        if row["tstr"] is not None:
            utility.axhline(100 - row["tstr"], **line)
    fidelity.set_yscale("log")
    fidelity.yaxis.set_major_formatter(ScalarFormatter())
    fidelity.set_ylabel("Fréchet distance to test images, logarithmic")
    utility.set_ylabel("errors of a classifier trained on the draws, %")
    for axes in (fidelity, utility):
        axes.set_xlabel("distance to the closest training image\n(1: as far as fresh images)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure

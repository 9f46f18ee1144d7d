"""Rivals as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

__all__ = ["plot_rivals"]

BATCH = "64"
OURS = ("hvrt", "latent_flow", "flow_map")


def plot_rivals(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Fréchet distance against the time of an image, and against novelty.

    Args:
        rows: of the table.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    speed, novelty = figure.subplots(1, 2, sharey=True)
    _scatter(speed, rows, [row["ms_per_image"][BATCH] for row in rows])
    speed.set_xscale("log")
    speed.set_xlabel(f"milliseconds an image, in batches of {BATCH}")
    speed.set_ylabel("Fréchet distance to test images, logarithmic")
    _scatter(novelty, rows, [row["dcr_image"] for row in rows])
    novelty.set_xlabel("distance to the closest training image (1: as far as fresh images)")
    speed.set_yscale("log")
    speed.yaxis.set_major_formatter(ScalarFormatter())
    return figure


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]], places: Sequence[float]) -> None:
    for row, place in zip(rows, places, strict=True):
        colour = "tab:red" if row["rival"] in OURS else "0.3"
        axes.plot(place, row["fd"], "o", color=colour, ms=5)
        axes.annotate(
            row["rival"].replace("_", " "),
            (place, row["fd"]),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=7,
            color=colour,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)

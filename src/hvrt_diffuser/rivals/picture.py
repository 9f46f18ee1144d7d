"""Rivals as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

__all__ = ["plot_rivals"]

Row = Mapping[str, Any]
Box = tuple[float, float, float]

BATCH = "64"
OURS = ("hvrt", "latent_flow", "flow_map")
OWN = "the run's own"
# In points: a label's height, the width of a letter, half of a point's, and from it to its label.
LABEL, LETTER, DOT, GAP = 9.0, 4.0, 3.0, 8.0
FIDELITY = "Fréchet distance to test images, logarithmic"
MARKERS = "sD^vP*X"
COLOURS = ("tab:blue", "tab:green", "tab:orange", "tab:purple", "tab:brown")


def plot_rivals(rows: Sequence[Row]) -> Figure:
    """Fréchet distance against the time of an image, against novelty, and by autoencoder.

    Args:
        rows: of the table.
    """
    others = [row for row in rows if _autoencoder(row) is not None]
    named = [row for row in rows if _autoencoder(row) is None]
    heights = [5.0, 3.2] if others else [5.0]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    above, *below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    speed, novelty = above.subplots(1, 2, sharey=True)
    speed.set_ylabel(FIDELITY)
    for axes in (speed, novelty):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.margins(x=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    speed.set_xscale("log")
    speed.set_xlabel(f"milliseconds an image, in batches of {BATCH}")
    novelty.set_xlabel("distance to the closest training image (1: as far as fresh images)")
    places: list[tuple[Axes, Callable[[Row], float]]] = [
        (speed, lambda row: row["ms_per_image"][BATCH]),
        (novelty, lambda row: row["dcr_image"]),
    ]
    for axes, place in places:
        for row in named:
            axes.plot(place(row), row["fd"], "o", color=_colour(row), ms=5)
    if below:
        _by_autoencoder(below[0].subplots(), named, others)
    figure.draw_without_rendering()  # the labels go by where the points are, in pixels
    for axes, place in places:
        _label(axes, named, place)
    return figure


def _autoencoder(row: Row) -> str | None:
    """The name of the other autoencoder that a row has, if it has one."""
    return row["rival"].split(" + ")[0] if "ae_training" in row["of"] else None


def _colour(row: Row) -> str:
    if row["rival"] in OURS:
        return "tab:red"
    return "tab:blue" if "options" in row["of"] else "0.3"  # a whole model, or a prior


def _label(axes: Axes, rows: Sequence[Row], place: Callable[[Row], float]) -> None:
    """Name the points, from the lowest one up, each where it covers no other name or point."""
    rows = sorted(rows, key=lambda row: row["fd"])
    data = [(place(row), row["fd"]) for row in rows]
    points = axes.transData.transform(data) / (axes.figure.get_dpi() / 72)
    taken = [(x - DOT, x + DOT, y) for x, y in points]  # left, right and height, in points
    for row, at, (x, y) in zip(rows, data, points, strict=True):
        name = row["rival"].replace("_", " ")
        width = LETTER * len(name)
        left, height = _free(x, y, width, taken)
        taken.append((left, left + width, height))
        right_of = left > x
        axes.annotate(
            name,
            at,
            xytext=(GAP if right_of else -GAP, height - y),
            textcoords="offset points",
            ha="left" if right_of else "right",
            va="center",
            fontsize=7,
            color=_colour(row),
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.6"},
        )


def _free(x: float, y: float, width: float, taken: Sequence[Box]) -> tuple[float, float]:
    """Left end and height of the nearest free place for a label beside the point at x and y."""
    places = (
        (left, height)
        for rise in count()
        for height in (y + rise, y - rise)
        for left in (x + GAP, x - GAP - width)
    )
    return next(
        (left, height)
        for left, height in places
        if not any(
            start < left + width and left < end and abs(height - other) < LABEL
            for start, end, other in taken
        )
    )


def _by_autoencoder(axes: Axes, named: Sequence[Row], others: Sequence[Row]) -> None:
    """A line for each autoencoder, and a marker for each of the priors that all of them have."""
    priors = list(dict.fromkeys(row["rival"].split(" + ")[1] for row in others))
    lines = list(dict.fromkeys(_autoencoder(row) for row in others))
    for i, prior in enumerate(priors):
        found = [row for row in others if row["rival"].endswith(f" + {prior}")]
        own = [row for row in named if row["rival"] == prior]
        axes.plot(
            [row["fd"] for row in own + found],
            [OWN] * len(own) + [str(_autoencoder(row)).replace("_", " ") for row in found],
            "o" if prior in OURS else MARKERS[i % len(MARKERS)],
            color="tab:red" if prior in OURS else COLOURS[i % len(COLOURS)],
            ms=6,
            label=prior.replace("_", " "),
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(FIDELITY)
    axes.set_ylabel("autoencoder")
    axes.set_ylim(len(lines) + 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

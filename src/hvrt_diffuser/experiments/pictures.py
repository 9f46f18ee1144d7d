"""The pictures of experiments: a frontier, rivals, a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from hvrt_diffuser.common.figures import label, literal, titled_figure

__all__ = ["plot_frontier", "plot_rivals", "plot_sweep"]

Row = Mapping[str, Any]
Box = tuple[float, float, float]

FIDELITY = "Fréchet distance to test images, logarithmic: less is better"
NOVELTY = "distance to the closest training image\n(1: as far as fresh images)"

# ---- the frontier

MARKERS = "osD^vP*X<>hp"
COLOURS = colormaps["tab20"].colors[::2] + colormaps["tab20"].colors[1::2]  # type: ignore[attr-defined]
FLOOR_NAMES = {
    "real": "real training images",
    "reconstruction": "test images, decoded",
    "copy": "training images, decoded",
}


def plot_frontier(rows: Sequence[Row], floors: Row) -> Figure:
    """Fréchet distance and TSTR of every group of jobs against its novelty.

    Args:
        rows: of the table.
        floors: of the run's own autoencoder.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    figure = titled_figure("Fidelity, usefulness and novelty of samplers", 10, 4.9)
    fidelity, utility = figure.subplots(1, 2)
    for place, (name, points) in enumerate(groups.items()):
        style: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "ms": 5}
        style["color"] = COLOURS[place % len(COLOURS)]
        novelty = [row["dcr_image"] for row in points]
        n = max(int(row["evaluations"] or 0) for row in points)
        cost = f" ({n} evaluation{'s' * (n > 1)})" if n else ""
        named = label(name.replace("_", " ")) + cost
        fidelity.plot(novelty, [row["fd_classifier"] for row in points], label=named, **style)
        useful = [row for row in points if row["tstr"] is not None]
        utility.errorbar(
            [row["dcr_image"] for row in useful],
            [100 - row["tstr"] for row in useful],
            [row["tstr_std"] or 0 for row in useful],
            elinewidth=0.8,
            **style,
        )
    for place, (name, what) in enumerate(FLOOR_NAMES.items()):
        line = {"color": "0.35", "linestyle": ("-", "--", ":")[place], "linewidth": 1}
        if f"{name}_floor" in floors:
            fidelity.axhline(floors[f"{name}_floor"], label=f"{what} (floor)", **line)
        if f"{name}_tstr" in floors:
            utility.axhline(100 - floors[f"{name}_tstr"], **line)
    fidelity.set_yscale("log")
    fidelity.yaxis.set_major_formatter(ScalarFormatter())
    fidelity.set_ylabel(FIDELITY)
    utility.set_ylabel("errors of a classifier trained on the draws, %: less is better")
    for axes in (fidelity, utility):
        axes.set_xlabel(NOVELTY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


# ---- rivals

BATCH = "64"
OURS = ("hvrt", "latent_flow", "flow_map")
OWN = "the run's own"
# In points: a label's height, the width of a letter, half of a point's, and from it to its label.
LABEL, LETTER, DOT, GAP = 9.0, 4.0, 3.0, 8.0
OTHER_MARKERS = "sD^vP*X"
PRIOR_COLOURS = ("tab:blue", "tab:green", "tab:orange", "tab:purple", "tab:brown")


def plot_rivals(rows: Sequence[Row]) -> Figure:
    """Fréchet distance against the time of an image, against novelty, and by autoencoder.

    Args:
        rows: of the table.
    """
    others = [row for row in rows if _autoencoder(row) is not None]
    named = [row for row in rows if _autoencoder(row) is None]
    heights = [5.0, 3.2] if others else [5.0]
    figure = titled_figure("Samplers and models on the same images", 11, sum(heights) + 0.3)
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
    novelty.set_xlabel(NOVELTY)
    places: list[tuple[Axes, Callable[[Row], float]]] = [
        (speed, lambda row: row["ms_per_image"][BATCH]),
        (novelty, lambda row: row["dcr_image"]),
    ]
    for axes, place in places:
        for row in named:
            axes.plot(place(row), row["fd_classifier"], "o", color=_colour(row), ms=5)
    if below:
        _by_autoencoder(below[0].subplots(), named, others)
    figure.draw_without_rendering()  # the labels go by where the points are, in pixels
    for axes, place in places:
        _label(axes, named, place)
    return figure


def _autoencoder(row: Row) -> str | None:
    """The name of the other autoencoder that a row has, if it has one."""
    return row["row"].split(" + ")[0] if "autoencoder" in row["of"] else None


def _colour(row: Row) -> str:
    if row["row"] in OURS:
        return "tab:red"
    return "tab:blue" if row["dcr_latent"] is None else "0.3"  # a whole model, or a prior


def _label(axes: Axes, rows: Sequence[Row], place: Callable[[Row], float]) -> None:
    """Name the points, from the lowest one up, each where it covers no other name or point."""
    rows = sorted(rows, key=lambda row: row["fd_classifier"])
    data = [(place(row), row["fd_classifier"]) for row in rows]
    points = axes.transData.transform(data) / (axes.figure.get_dpi() / 72)
    taken = [(x - DOT, x + DOT, y) for x, y in points]  # left, right and height, in points
    for row, at, (x, y) in zip(rows, data, points, strict=True):
        name = row["row"].replace("_", " ")
        width = LETTER * len(name)
        left, height = _free(x, y, width, taken)
        taken.append((left, left + width, height))
        right_of = left > x
        axes.annotate(
            label(name),
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
    priors = list(dict.fromkeys(row["row"].split(" + ")[1] for row in others))
    lines = list(dict.fromkeys(_autoencoder(row) for row in others))
    for i, prior in enumerate(priors):
        found = [row for row in others if row["row"].endswith(f" + {prior}")]
        own = [row for row in named if row["row"] == prior]
        axes.plot(
            [row["fd_classifier"] for row in own + found],
            [OWN] * len(own) + [label(str(_autoencoder(row)).replace("_", " ")) for row in found],
            "o" if prior in OURS else OTHER_MARKERS[i % len(OTHER_MARKERS)],
            color="tab:red" if prior in OURS else PRIOR_COLOURS[i % len(PRIOR_COLOURS)],
            ms=6,
            label=label(prior.replace("_", " ")),
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(FIDELITY)
    axes.set_ylabel("autoencoder")
    axes.set_ylim(len(lines) + 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


# ---- sweeps

LOGARITHMIC = 10  # times the lowest, the highest value gets a logarithmic axis
WIDE = 100  # over more than two decades, only powers of ten are written at a logarithmic axis
PANELS = {
    "fd_classifier": "Fréchet distance to test\nimages: less is better",
    "tstr": "accuracy of a classifier trained\non the draws, %: more is better",
    "dcr_image": "distance to the closest\ntraining image (1: as fresh ones)",
}
FLOORS = {"fd_classifier": "copy_floor"}


def plot_sweep(
    rows: Sequence[Row], importance: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """FD, TSTR and novelty at every combination of values, and what each parameter matters.

    Args:
        rows: of the table.
        importance: share of the variance that each option explains; without it, there is no panel.
    """
    panels = len(PANELS) + bool(importance)
    height = max(2.9, 1.7 + 0.3 * len(rows))
    figure = titled_figure("What each combination of values gives", 3.4 * panels, height)
    every = figure.subplots(1, panels)
    heights = range(len(rows))
    for axes, (measure, title) in zip(every, PANELS.items(), strict=False):
        deviations = [row[f"{measure}_std"] or 0 for row in rows]
        values = [row[measure] for row in rows]
        axes.errorbar(values, heights, xerr=deviations, fmt="o", capsize=3, label="draws")
        if measure in FLOORS:
            floor = [row[FLOORS[measure]] for row in rows]
            axes.plot(floor, heights, "|", ms=14, color="0.5", label="pure copies")
            ratio = max(values) / min(*values, *floor)
            if ratio > LOGARITHMIC:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1,) if ratio > WIDE else (1, 2, 5)))
                axes.xaxis.set_major_formatter(ScalarFormatter())
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.legend(frameon=False, fontsize=8)
        axes.set_yticks(heights, _names(rows) if axes is every[0] else ["" for _ in rows])
        axes.set_xlabel(title)
        axes.invert_yaxis()
        axes.margins(y=0.15)
        axes.grid(axis="y", alpha=0.2)
    if importance:
        _draw_importance(every[-1], importance)
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_importance(axes: Axes, importance: Mapping[str, Mapping[str, float]]) -> None:
    known = sorted({name for found in importance.values() for name in found})
    for place, (measure, found) in enumerate(importance.items()):
        heights = [0.25 * place + row for row in range(len(known))]
        named = label(measure.partition("_")[0].upper())
        axes.barh(heights, [found.get(name, 0) for name in known], 0.24, label=named)
    axes.set_yticks(
        [row + 0.25 for row in range(len(known))],
        [literal(name.rpartition(".")[2].replace("_", "\n")) for name in known],
    )
    axes.set_xlabel("share of the variance explained")
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=8)


def _names(rows: Sequence[Row]) -> list[str]:
    """A name for each row: of a single group, by the values that vary."""
    if len({row["group"] for row in rows}) > 1:
        return [label(row["row"].replace("_", " ")) for row in rows]
    varying = [
        key for key in rows[0]["values"] if len({str(row["values"][key]) for row in rows}) > 1
    ] or list(rows[0]["values"])
    return [
        literal(
            ", ".join(f"{key.rpartition('.')[2]} {_short(row['values'][key])}" for key in varying)
        )
        for row in rows
    ]


def _short(value: Any) -> str:
    if value is None:
        return "unset"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The table of a sweep, what its parameters matter, and its picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from optuna.trial import FrozenTrial, TrialState

from hvrt_diffuser.sweeps.grid import SEED, Point
from hvrt_diffuser.sweeps.search import OBJECTIVES
from hvrt_diffuser.sweeps.study import Measured

__all__ = ["importances", "plot_sweep", "spread", "summarise_points"]

LOGARITHMIC = 10  # times the lowest, the highest value gets a logarithmic axis
WIDE = 100  # over more than two decades, only powers of ten are written at a logarithmic axis
PANELS = {
    "fd": "Fréchet distance\nto test images",
    "tstr": "accuracy of a classifier\ntrained on the draws, %",
    "dcr_image": "distance to the closest\ntraining image (1: as fresh ones)",
}
FLOORS = {"fd": "copy_floor"}


def summarise_points(measured: Measured) -> list[dict[str, Any]]:
    """A row for each combination of values: means over the seeds, and deviations of the main three.

    Returns:
        JSON: ``values`` by parameter, ``seeds``, the measures, and ``fd_std``, ``tstr_std``,
        ``dcr_image_std`` (None for a single seed).
    """
    groups: dict[tuple[Any, ...], list[tuple[dict[str, Any], Mapping[str, float | None]]]] = {}
    for point, measures in measured:
        values = {name: value for name, value in point.items() if name != SEED}
        groups.setdefault(tuple(values.values()), []).append((values, measures))
    rows = []
    for group in groups.values():
        row: dict[str, Any] = {"values": group[0][0], "seeds": len(group)}
        for name in group[0][1]:
            found = [measures[name] for _, measures in group]
            known = [value for value in found if value is not None]
            row[name] = statistics.fmean(known) if len(known) == len(found) else None
            if name in PANELS:
                row[f"{name}_std"] = statistics.stdev(known) if len(known) > 1 else None
        rows.append(row)
    return rows


def spread(best: Measured, n: int) -> list[Point]:
    """Of points that no other is better than in all objectives, n that differ.

    The best in each objective, in turn.

    Args:
        best: points, and measures of all of :data:`hvrt_diffuser.sweeps.OBJECTIVES`.
        n: at most.
    """
    signs = {name: 1 if way == "minimize" else -1 for name, way in OBJECTIVES.items()}
    orders = [
        sorted(best, key=lambda found, name=name: signs[name] * found[1][name])  # type: ignore[misc]
        for name in OBJECTIVES
    ]
    chosen: list[Point] = []
    for candidates in zip(*orders, strict=True):
        for point, _ in candidates:
            if point not in chosen and len(chosen) < n:
                chosen.append(point)
    return chosen


def importances(study: optuna.Study, seed: int) -> dict[str, dict[str, float]]:
    """The share of the variance of each objective that each parameter explains.

    The seed of a sweep is one of them. By functional ANOVA (Hutter et al. 2014), as Optuna has it.
    Empty where there is no variance, or a single point.
    """
    found = {}
    for place, measure in enumerate(study.metric_names or ()):

        def value(trial: FrozenTrial, place: int = place) -> float:
            return trial.values[place]

        complete = [
            value(trial)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ]
        if len(complete) > 1 and max(complete) > min(complete):
            found[measure] = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32),
                target=value,
            )
    return found


def plot_sweep(
    rows: Sequence[Mapping[str, Any]], importance: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """FD, TSTR and novelty at every combination of values, and what each parameter matters.

    Args:
        rows: of :func:`summarise_points`.
        importance: of :func:`importances`; without it, there is no such panel.
    """
    panels = len(PANELS) + bool(importance)
    figure = Figure(figsize=(3.4 * panels, max(2.6, 1.4 + 0.3 * len(rows))), layout="constrained")
    every = figure.subplots(1, panels)
    heights = range(len(rows))
    for axes, (measure, label) in zip(every, PANELS.items(), strict=False):
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
        axes.set_xlabel(label)
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
        axes.barh(heights, [found.get(name, 0) for name in known], 0.24, label=measure.upper())
    axes.set_yticks(
        [row + 0.25 for row in range(len(known))],
        [name.rpartition(".")[2].replace("_", "\n") for name in known],
    )
    axes.set_xlabel("share of the variance explained")
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=8)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each row, of the values that vary."""
    varying = [
        key for key in rows[0]["values"] if len({str(row["values"][key]) for row in rows}) > 1
    ] or list(rows[0]["values"])
    return [
        ", ".join(f"{key.rpartition('.')[2]} {_short(row['values'][key])}" for key in varying)
        for row in rows
    ]


def _short(value: Any) -> str:
    if value is None:
        return "unset"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The pictures of bounds: how they fall, what they are made of, and what the models draw."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from hvrt_diffuser.common.figures import label, titled_figure

__all__ = ["plot_likelihoods", "show_likelihoods"]

COLOURS = colormaps["tab20"].colors  # type: ignore[attr-defined]
STRIPS = {
    "pseudoinputs": "their pseudoinputs",
    "from_pseudoinputs": "drawn given these alone",
    "draws": "drawn",
}


def plot_likelihoods(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """-ELBO and importance-weighted bound by epoch, and what the first one is made of at the end.

    Args:
        rows: of the table; means over the seeds of each.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["row"], []).append(row)
    height = max(3.6, 1.4 + 0.34 * len(groups))
    figure = titled_figure("Bounds of the negative log-likelihood of test images", 12, height)
    by_epoch, parts = figure.subplots(1, 2, width_ratios=(3, 4))
    for place, (name, own) in enumerate(groups.items()):
        colour = COLOURS[place % len(COLOURS)]
        for bound, style in (("nelbo", "-"), ("iwae", "--")):
            curve = _mean([[epoch[bound] for epoch in row["history"]] for row in own])
            shown = label(name.replace("_", " ")) if bound == "nelbo" else None
            by_epoch.plot(
                range(1, len(curve) + 1), curve, style, color=colour, label=shown, marker=".", ms=4
            )
        nats = [
            statistics.fmean(row["pseudoinput"] for row in own),
            *_mean([row["kl_levels"] for row in own]),
        ]
        left = 0.0
        for part, value in enumerate(nats):
            kind = "pseudoinput" if part == 0 else f"level {part}"
            named = kind if place == 0 else None
            parts.barh(place, value, left=left, color=COLOURS[part % len(COLOURS)], label=named)
            left += value
    by_epoch.set_xlabel("epoch")
    by_epoch.set_ylabel("nats per image: less is better\n(-ELBO; dashed, importance-weighted)")
    by_epoch.legend(frameon=False, fontsize=7)
    parts.set_yticks(range(len(groups)), [label(name.replace("_", " ")) for name in groups])
    parts.invert_yaxis()
    parts.set_xlabel("nats per image that are spent on each part, from coarse to fine")
    # Above the axes: the bars fill them.
    parts.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=6)
    for axes in (by_epoch, parts):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*curves, strict=True)]


def show_likelihoods(pictures: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Of each row real images, their pseudoinputs, images given these alone, and draws.

    Args:
        pictures: by row and kind, uint8 (n, c, h, w); real images are the same in all.
    """
    strips: list[tuple[str, Tensor]] = []
    for name, kinds in pictures.items():
        if not strips:
            strips.append(("test images", kinds["real"]))
        strips += [(f"{name.replace('_', ' ')}: {STRIPS[k]}", kinds[k]) for k in STRIPS]
    figure = titled_figure("What a pseudoinput decides, and draws", 10, 0.8 + 0.62 * len(strips))
    every = figure.subplots(max(1, len(strips)), 1, squeeze=False)[:, 0]
    for axes, (name, images) in zip(every, strips, strict=False):
        strip = torch.cat(list(images), dim=2).permute(1, 2, 0)  # (h, n w, c)
        axes.imshow(strip.numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_ylabel(label(name), rotation=0, ha="right", va="center", fontsize=7)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure

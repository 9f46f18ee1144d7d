"""The pictures of the report, each from numbers or images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["SET_NAMES", "plot_fd", "plot_frontier", "plot_image_rows", "plot_marginals", "set_name"]

SET_NAMES = {
    "synthetic": "synthetic images",
    "real_floor": "real training images",
    "reconstruction_floor": "test images, decoded",
    "copy_floor": "training images, decoded (pure copies)",
}
"""What the sets of images are called where people read."""

BINS = 40
GAP = 2  # pixels between images


def set_name(name: str) -> str:
    """What a set of images is called where people read."""
    if name.startswith("vae_beta_"):
        beta = name.removeprefix("vae_beta_").replace("_", ".")
        return f"a VAE with β = {beta}, its prior decoded"
    return SET_NAMES[name]


def plot_image_rows(
    images: Tensor, row_names: Sequence[str], column_names: Sequence[str] = ()
) -> Figure:
    """Images in a grid.

    Args:
        images: uint8 (rows, columns, c, h, w).
        row_names: of the rows.
        column_names: of the columns; none for columns that are alike.
    """
    rows, columns, c, h, w = images.shape
    # One picture with lines between the images: many small axes take seconds to draw.
    tiles = functional.pad(images, (GAP, 0, GAP, 0), value=255)
    mosaic = tiles.permute(0, 3, 1, 4, 2).reshape(rows * (h + GAP), columns * (w + GAP), c)
    mosaic = mosaic[GAP:, GAP:]
    figure = Figure(figsize=(0.62 * columns + 0.6, 0.62 * rows + 0.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic.numpy(), cmap="gray", vmin=0, vmax=255)
    axes.set_yticks(_centres(rows, h), row_names)
    axes.set_xticks(_centres(columns, w)[: len(column_names)], column_names, fontsize=7)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _centres(n: int, size: int) -> list[float]:
    """The middle of each of n images, in pixels of the mosaic."""
    return [i * (size + GAP) + (size - 1) / 2 for i in range(n)]


def plot_fd(distances: Mapping[str, float]) -> Figure:
    """The Fréchet distance of each set, the floors among them.

    Args:
        distances: by set.
    """
    ordered = dict(sorted(distances.items(), key=lambda item: -item[1]))
    figure = Figure(figsize=(6.4, 0.7 + 0.4 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    colours = ["C1" if name == "synthetic" else "C0" for name in ordered]
    bars = axes.barh([set_name(name) for name in ordered], list(ordered.values()), color=colours)
    axes.bar_label(bars, [f"{value:.2f}" for value in ordered.values()], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(right=4 * max(ordered.values()))  # room for the figures
    axes.set_xlabel("Fréchet distance to test images, logarithmic")
    _plain(axes)
    return figure


def plot_frontier(evaluation: Mapping[str, Any]) -> Figure:
    """Fidelity against novelty: what one sampler gives up for the other.

    Args:
        evaluation: the metrics.
    """
    fd = evaluation["fd_classifier"]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    points = {
        "pure copies": (0.0, fd["copy_floor"], "C0"),
        "fresh real images": (1.0, fd["real_floor"], "C0"),
        "synthetic images": (evaluation["dcr_image"]["synthetic"], fd["synthetic"], "C1"),
    }
    for name, (ratio, distance, colour) in points.items():
        axes.plot(ratio, distance, "o", color=colour)
        axes.annotate(
            name, (ratio, distance), xytext=(0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xlim(-0.25, 1.25)
    axes.set_ylim(0, 1.25 * max(distance for _, distance, _ in points.values()))
    axes.set_xlabel("distance to the closest training image, relative to fresh images")
    axes.set_ylabel("Fréchet distance")
    _plain(axes)
    return figure


def plot_marginals(
    draws: NDArray[np.float32], held_out: NDArray[np.float32], statistics: NDArray[np.float64]
) -> Figure:
    """Histograms of the six dimensions in which draws and held-out latents differ most.

    Args:
        draws: (n, d), synthetic latents.
        held_out: (m, d), latents of test images.
        statistics: float64 (d,), the Kolmogorov-Smirnov statistic of each dimension.
    """
    worst = np.argsort(-statistics, kind="stable")[:6]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    grid = figure.subplots(2, 3).flat
    for axes in grid[len(worst) :]:
        axes.set_axis_off()
    for axes, dimension in zip(grid, worst.tolist(), strict=False):
        both = np.concatenate([draws[:, dimension], held_out[:, dimension]])
        low, high = np.quantile(both, [0.001, 0.999])
        for x, name in ((held_out, "test images"), (draws, "synthetic")):
            axes.hist(x[:, dimension], BINS, (low, high), density=True, histtype="step", label=name)
        axes.set_title(f"dimension {dimension}, KS {statistics[dimension]:.3f}", fontsize=8)
        axes.set(yticks=[])
        axes.tick_params(labelsize=7)
        _plain(axes)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)

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

from hvrt_diffuser.common.figures import label, literal, titled_figure

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
    title: str, images: Tensor, row_names: Sequence[str], column_names: Sequence[str] = ()
) -> Figure:
    """Images in a grid.

    Args:
        title: of the picture.
        images: uint8 (rows, columns, c, h, w).
        row_names: of the rows.
        column_names: of the columns; none for columns that are alike.
    """
    rows, columns, c, h, w = images.shape
    # One picture with lines between the images: many small axes take seconds to draw.
    tiles = functional.pad(images, (GAP, 0, GAP, 0), value=255)
    mosaic = tiles.permute(0, 3, 1, 4, 2).reshape(rows * (h + GAP), columns * (w + GAP), c)
    mosaic = mosaic[GAP:, GAP:]
    figure = titled_figure(title, max(0.62 * columns, 4) + 0.6, 0.62 * rows + 0.6)
    axes = figure.subplots()
    axes.imshow(mosaic.numpy(), cmap="gray", vmin=0, vmax=255)
    axes.set_yticks(_centres(rows, h), [label(name) for name in row_names])
    names = [label(name) for name in column_names]
    axes.set_xticks(_centres(columns, w)[: len(names)], names, fontsize=7)
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
    figure = titled_figure("How far from the test images", 6, 1.1 + 0.4 * len(ordered))
    axes = figure.subplots()
    # Points: a bar would begin where the logarithmic axis does, at no distance of its own.
    for place, (name, value) in enumerate(ordered.items()):
        axes.plot(value, place, "o", color="C1" if name == "synthetic" else "C0")
        axes.annotate(
            f"{value:.2f}", (value, place), (7, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(ordered)), [literal(set_name(name)) for name in ordered])
    axes.set_ylim(-0.5, len(ordered) - 0.5)
    axes.set_xscale("log")
    axes.set_xlim(right=4 * max(ordered.values()))  # room for the figures
    axes.set_xlabel("Fréchet distance, logarithmic: less is better")
    axes.grid(axis="y", alpha=0.3)
    _plain(axes)
    return figure


def plot_frontier(evaluation: Mapping[str, Any]) -> Figure:
    """Fidelity against novelty: what one sampler gives up for the other.

    Args:
        evaluation: the metrics.
    """
    fd = evaluation["fd_classifier"]
    figure = titled_figure("Like the real images, and how far from copies", 6, 3.4)
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
    axes.set_xlabel("distance to the closest training image: 1 as fresh images, 0 copies")
    axes.set_ylabel("Fréchet distance: less is better")
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
    figure = titled_figure("The latent dimensions that differ most", 6, 3.8)
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
    lines = figure.axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)

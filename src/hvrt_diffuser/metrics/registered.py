"""Nearest images, in features or registered: the least distance over small shifts and turns.

An image that was moved by a pixel is a copy that the distance between pixels does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.errors import InputError

__all__ = ["blurred", "closest_images", "registered_nearest", "turned"]

Features = Callable[[Tensor], NDArray[np.float32]]
"""From uint8 images (n, c, h, w) to float32 features (n, f)."""

SIGMA = 1.5  # pixels
STRIDE = 2
RADIUS = 6  # of the Gaussian, four deviations
AT_ONCE = 2**24  # float32 in memory at a time: 64 MiB


@torch.inference_mode()
def blurred(images: Tensor) -> NDArray[np.float32]:
    """Pixels in [0, 1] after a Gaussian of deviation 1.5, every second one; edges are repeated.

    Args:
        images: uint8 (n, c, h, w).

    Returns:
        float32 (n, f), f = c ceil(h / 2) ceil(w / 2).
    """
    down, across = (_blur(side) for side in images.shape[2:])
    parts = images.split(_rows(images[0].numel()))
    return torch.cat([(down @ (x.float() @ across.T / 255)).flatten(1) for x in parts]).numpy()


def _blur(side: int) -> Tensor:
    """The Gaussian along a side as a matrix (ceil(side / 2), side)."""
    taps = torch.arange(-RADIUS, RADIUS + 1)
    middle = torch.arange(0, side, STRIDE)
    weights = torch.exp(-taps.square() / (2 * SIGMA**2)).expand(len(middle), -1)
    places = (middle[:, None] + taps).clamp(0, side - 1)
    return torch.zeros(len(middle), side).scatter_add(1, places, weights / weights[0].sum())


def _spectrum(images: Tensor) -> NDArray[np.float32]:
    """The magnitude of the Fourier transform after the blur, which hardly changes with a shift."""
    n, c, h, w = images.shape
    x = torch.from_numpy(blurred(images)).view(n, c, -(-h // STRIDE), -(-w // STRIDE))
    return torch.fft.rfft2(x).abs().flatten(1).numpy()


@torch.inference_mode()
def closest_images(
    queries: Tensor, reference: Tensor, features: Features, k: int, *, skip_self: bool = False
) -> NDArray[np.int64]:
    """The k images of a reference that are nearest to each query in features, nearest first.

    In float32 and in bounded memory, whatever the sizes; of like distances either may be first.

    Args:
        queries: uint8 (n, c, h, w).
        reference: uint8 (m, c, h, w), m at least k (k + 1 with ``skip_self``).
        features: what they are compared in.
        k: how many.
        skip_self: query i is reference i, which is not looked for.

    Returns:
        int64 (n, k).

    Raises:
        InputError: images of different sizes, an empty set, or fewer than k.
    """
    if queries.shape[1:] != reference.shape[1:] or queries.ndim != 4 or not len(queries):
        raise InputError(
            f"images of shapes {tuple(queries.shape)} and {tuple(reference.shape)} were given, "
            "expected (n, c, h, w) with equal sizes and channels, neither empty: give images of "
            "one kind"
        )
    if not 1 <= k <= len(reference) - skip_self:
        raise InputError(
            f"{k} neighbours were asked for among {len(reference)} images, expected 1 to "
            f"{len(reference) - skip_self}: ask for fewer"
        )
    x = torch.from_numpy(features(queries))
    center = x.mean(0)  # distances come from a product, whose rounding is that of large norms
    x -= center
    value = torch.full((len(x), k), -math.inf)
    index = torch.zeros(len(x), k, dtype=torch.int64)
    start = 0
    for images in reference.split(_rows(x.shape[1])):
        y = torch.from_numpy(features(images)) - center
        half = y.square().sum(1) / 2
        for rows in torch.arange(len(x)).split(_rows(len(y))):
            score = torch.addmm(half, x[rows], y.T, beta=-1)  # the more, the nearer
            if skip_self:
                here = (rows >= start) & (rows < start + len(y))
                score[here, rows[here] - start] = -math.inf
            near = score.max(1, True) if k == 1 else score.topk(min(k, len(y)))
            values = torch.cat([value[rows], near.values], 1)
            places = torch.cat([index[rows], near.indices + start], 1)
            value[rows], order = values.topk(k)
            index[rows] = places.gather(1, order)
        start += len(images)
    return index.numpy()


@torch.inference_mode()
def registered_nearest(
    queries: Tensor,
    reference: Tensor,
    *,
    candidates: int = 100,
    shift: int = 2,
    turns: Sequence[float] = (),
    skip_self: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest reference image of each query, and its least distance over shifts and turns.

    Candidates are the images whose blurred Fourier transform is nearest in magnitude, for a shift
    moves its phase alone. The middle of a candidate, without ``shift`` pixels on each side, is
    compared with every window of that size of the query, so each shift compares as many pixels. The
    distance is Euclidean over that window, pixels in [0, 1]; 0 for an
    exact copy, without rounding. Images below 3 ``shift`` + 1 pixels are moved by less.

    Args:
        queries: uint8 (n, c, h, w).
        reference: uint8 (m, c, h, w).
        candidates: how many images are compared closely; all, where there are no more.
        shift: pixels each way.
        turns: degrees by which queries are turned as well, bilinearly about their middle.
        skip_self: query i is reference i, which is not looked for.

    Returns:
        int64 (n,) and float64 (n,).

    Raises:
        InputError: images of different sizes, or an empty set.
    """
    k = max(min(candidates, len(reference) - skip_self), 1)
    near = torch.from_numpy(
        closest_images(queries, reference, _spectrum, k, skip_self=skip_self)
    )  # (n, k)
    h, w = queries.shape[2:]
    shift = min(shift, (min(h, w) - 1) // 3)
    middle = reference[:, :, shift : h - shift, shift : w - shift]
    windows = (2 * shift + 1) ** 2 * (1 + len(turns))
    found = torch.empty(len(queries), dtype=torch.int64)
    distance = torch.empty(len(queries), dtype=torch.float64)
    for rows in torch.arange(len(queries)).split(_rows((k + 2 * windows) * queries[0].numel())):
        x = queries[rows].float() / 255
        x = torch.stack([x, *(turned(x, degrees) for degrees in turns)], 1)  # (b, t, c, h, w)
        x = x.unfold(3, h - 2 * shift, 1).unfold(4, w - 2 * shift, 1)  # (b, t, c, s, s, h', w')
        x = x.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(1, 3)  # (b, windows, pixels)
        y = middle[near[rows]].flatten(2).float() / 255  # (b, k, pixels)
        square = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None] - 2 * x @ y.mT
        window, candidate = np.divmod(square.flatten(1).argmin(1), k)
        each = torch.arange(len(rows))
        found[rows] = near[rows, candidate]
        difference = x[each, window].double() - y[each, candidate].double()
        distance[rows] = difference.square().sum(1).sqrt()
    return found.numpy(), distance.numpy()


def _rows(size: int) -> int:
    """How many rows of this many numbers are held at a time."""
    return max(AT_ONCE // size, 1)


def turned(images: Tensor, degrees: float) -> Tensor:
    """Images float32 (n, c, h, w) turned about their middle; edges are repeated."""
    n, _, h, w = images.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[cos, -sin * h / w, 0], [sin * w / h, cos, 0]])
    grid = F.affine_grid(matrix.expand(n, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

"""Images that stand twice in a dataset: with the same pixels, or nearly so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.metrics.samples import Float64

__all__ = ["Pairs", "Usual", "equal_images", "near_images", "usual_distance"]

Rows = NDArray[np.int64]

FREQUENCIES = 5  # cycles over the image, each way
NEAREST = 10  # candidates of each image whose registered distance is measured
ROWS = 512  # of distances between descriptors that stand in memory at a time
PIXELS = 2**21  # of images compared at a time: 8 MiB in float32
SAMPLE = 1000  # images that say how far apart images usually are
SHIFT = 2  # pixels, each way


class Pairs(NamedTuple):
    """Two images each, by their rows.

    Attributes:
        first: int64 (p,).
        second: int64 (p,).
        distance: float64 (p,), registered; 0 where the pixels are equal.
    """

    first: Rows
    second: Rows
    distance: Float64


class Usual(NamedTuple):
    """How far an image usually is from the nearest other one.

    Attributes:
        registered: the median registered distance.
        described: the median distance between descriptors, which are cheaper.
    """

    registered: float
    described: float


def equal_images(images: Tensor, others: Tensor | None = None) -> Pairs:
    """Images with the same pixels as an earlier one, or as one of the others: the first such.

    Args:
        images: uint8 (n, c, h, w).
        others: uint8 (m, c, h, w), or None to look among the images themselves.

    Returns:
        Rows of ``images`` in order, each with the row that it equals.
    """
    seen: dict[bytes, int] = {}
    for row, digest in enumerate(_digests(images if others is None else others)):
        seen.setdefault(digest, row)
    found = [
        (row, twin)
        for row, digest in enumerate(_digests(images))
        if (twin := seen.get(digest)) is not None and (others is not None or twin != row)
    ]
    rows = np.array(found, dtype=np.int64).reshape(-1, 2)
    return Pairs(rows[:, 0], rows[:, 1], np.zeros(len(rows)))


def _digests(images: Tensor) -> Iterator[bytes]:
    for pixels in images.contiguous().numpy():
        yield hashlib.blake2b(pixels.data, digest_size=16).digest()


def usual_distance(images: Tensor, others: Tensor | None = None, *, seed: int) -> Usual:
    """How far an image usually is from the nearest other one, by up to 1,000 of the images.

    Args:
        images: uint8 (n, c, h, w), n at least 1.
        others: uint8 (m, c, h, w), m at least 1, or None to look among the images themselves,
            which are then at least 2.
        seed: of the choice of them.
    """
    chosen = np.random.default_rng(seed).permutation(len(images))[:SAMPLE]
    rows: Rows = np.sort(chosen)
    reference = images if others is None else others
    skip = rows if others is None else None
    index, described = _candidates(_describe(images[rows]), _describe(reference), skip)
    queries = np.repeat(rows, index.shape[1])
    distance = _registered(images, reference, queries, index.ravel()).reshape(index.shape)
    return Usual(float(np.median(distance.min(1))), float(np.median(described.min(1))))


def near_images(
    images: Tensor, others: Tensor | None = None, *, radius: float, usual: Usual
) -> Pairs:
    """Pairs of images within a registered distance of each other, nearest first.

    The registered distance is the least Euclidean one over shifts of up to 2 pixels each way, of
    the pixels that lie in both. It is measured for 10 candidates of each image, by magnitudes of
    low frequencies, which no shift changes but at the border (so the distance between them is no
    larger than that of the images, whatever cyclic shift aligns them); candidates that are
    farther in these than images usually are drop out.

    Args:
        images: uint8 (n, c, h, w).
        others: uint8 (m, c, h, w), or None for pairs of the images themselves.
        radius: of the registered distance; pixels are in [0, 1].
        usual: distances of :func:`usual_distance`.

    Returns:
        Rows of ``images`` and of ``others``; among the images themselves each pair once, the
        smaller row first. Memory is bounded.
    """
    reference = images if others is None else others
    described = _describe(images)
    if others is None:
        index, near = _candidates(described, described, np.arange(len(images)), later=True)
    else:
        index, near = _candidates(described, _describe(others))
    first, place = np.nonzero(near <= usual.described)
    second = index[first, place]
    distance = _registered(images, reference, first, second)
    kept = np.flatnonzero(distance < radius)
    kept = kept[np.argsort(distance[kept], kind="stable")]
    return Pairs(first[kept], second[kept], distance[kept])


def _at_once(images: Tensor) -> int:
    return max(PIXELS // images[0].numel(), 1)


def _describe(images: Tensor) -> Tensor:
    """Magnitudes of the low frequencies of the mean over channels, float32 (n, d)."""
    found = []
    for batch in images.split(_at_once(images)):
        z = torch.fft.rfft2(batch.float().mean(1) / 255, norm="ortho").abs()  # (n, h, w // 2 + 1)
        rows = min(FREQUENCIES, (z.shape[1] - 1) // 2)
        z = torch.cat([z[:, : rows + 1], z[:, z.shape[1] - rows :]], 1)[..., : FREQUENCIES + 1]
        z[..., 1:] *= 2**0.5  # each stands for its conjugate as well
        found.append(z.flatten(1))
    return torch.cat(found)


def _candidates(
    queries: Tensor, reference: Tensor, skip: Rows | None = None, *, later: bool = False
) -> tuple[Rows, Float64]:
    """The nearest reference rows of each query and their distances, (n, k) each.

    ``skip`` holds a reference row for each query that does not count; with ``later``, those
    before it do not either. Rows that do not count are infinitely far.
    """
    center = reference.mean(0)
    queries, reference = queries - center, reference - center
    norms = (reference**2).sum(1)
    k = min(NEAREST, len(reference))
    index, distance = [], []
    for start in range(0, len(queries), ROWS):
        batch = queries[start : start + ROWS]
        base = int(skip[start]) if later and skip is not None else 0
        squares = torch.addmm(norms[base:], batch, reference[base:].T, alpha=-2)
        if skip is not None:
            own = torch.from_numpy(skip[start : start + ROWS])[:, None] - base
            if later:
                width = min(ROWS, squares.shape[1])
                squares[:, :width].masked_fill_(torch.arange(width) <= own, torch.inf)
            else:
                squares.scatter_(1, own, torch.inf)
        if squares.shape[1] < k:
            squares = torch.nn.functional.pad(squares, (0, k - squares.shape[1]), value=torch.inf)
        least, rows = squares.topk(k, 1, largest=False)
        index.append(rows + base)
        distance.append((least + (batch**2).sum(1, keepdim=True)).clamp_min_(0).sqrt_().double())
    return torch.cat(index).numpy(), torch.cat(distance).numpy()


def _registered(a: Tensor, b: Tensor, rows: Rows, others: Rows) -> Float64:
    """The registered distance of each pair of rows of uint8 (n, c, h, w), (p,)."""
    h, w = a.shape[2:]
    up, left = min(SHIFT, (h - 1) // 2), min(SHIFT, (w - 1) // 2)
    found = [torch.empty(0)]
    n = _at_once(a)
    for start in range(0, len(rows), n):
        x = a[rows[start : start + n], :, up : h - up, left : w - left].float() / 255
        y = b[others[start : start + n]].float() / 255
        least = torch.full((len(x),), torch.inf)
        for i in range(2 * up + 1):
            for j in range(2 * left + 1):
                moved = y[:, :, i : i + x.shape[2], j : j + x.shape[3]]
                least = torch.minimum(least, (x - moved).square_().sum((1, 2, 3)))
        found.append(least.sqrt())
    return torch.cat(found).double().numpy()

"""Images that stand twice in a dataset: with the same pixels, or nearly so."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.common.scratch import take_rows
from hvrt_diffuser.metrics.samples import Float64

__all__ = ["Pairs", "Usual", "equal_images", "near_images", "usual_distance"]

Rows = NDArray[np.int64]

DIGEST = np.dtype([("high", np.uint64), ("low", np.uint64)])
FREQUENCIES = 5  # cycles over the image, each way
NEAREST = 10  # candidates of each image whose registered distance is measured
ROWS, AT_ONCE = 512, 2048  # distances between descriptors that stand in memory at a time
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
    own = _digests(images)
    digests = own if others is None else np.concatenate([_digests(others), own])
    _, earliest, which = np.unique(digests, return_index=True, return_inverse=True)
    first, second = np.arange(len(own)), earliest[which][len(digests) - len(own) :]
    equal = second < (first if others is None else len(others))
    return Pairs(first[equal], second[equal], np.zeros(int(equal.sum())))


def _digests(images: Tensor) -> NDArray[np.void]:
    """16 bytes of each image (n,), as two numbers."""
    found = np.empty(len(images), DIGEST)
    for row, pixels in enumerate(images.contiguous().numpy()):
        digest = hashlib.blake2b(pixels.data, digest_size=DIGEST.itemsize).digest()
        found[row] = np.frombuffer(digest, DIGEST)[0]
    return found


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
    own = torch.from_numpy(rows) if others is None else None
    index, described = _candidates(images[rows], reference, own)
    queries = np.repeat(rows, index.shape[1])
    distance = _registered(images, reference, queries, index.ravel()).reshape(index.shape)
    return Usual(float(np.median(distance.min(1))), float(np.median(described.min(1))))


def near_images(
    images: Tensor,
    others: Tensor | None = None,
    *,
    radius: float,
    usual: Usual,
    asked: Tensor | None = None,
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
        asked: int64 (k,), ascending: rows of ``images``, of which one has to be in each pair; None
            is all. Time grows with their number times that of all.

    Returns:
        Rows of ``images`` and of ``others``; among the images themselves each pair once, the
        smaller row first. Memory is bounded.
    """
    reference = images if others is None else others
    queries = images if asked is None else take_rows(images, asked)
    rows = torch.arange(len(images)) if asked is None else asked
    if others is None:
        among = torch.zeros(len(images), dtype=torch.bool)
        among[rows] = True
        index, near = _candidates(queries, images, rows, among)
    else:
        index, near = _candidates(queries, others)
    place, rank = np.nonzero(near <= usual.described)
    first, second = rows.numpy()[place], index[place, rank]
    if others is None:
        first, second = np.minimum(first, second), np.maximum(first, second)
    distance = _registered(images, reference, first, second)
    kept = np.flatnonzero(distance < radius)
    kept = kept[np.argsort(distance[kept], kind="stable")]
    return Pairs(first[kept], second[kept], distance[kept])


def _at_once(images: Tensor) -> int:
    return max(PIXELS // images[0].numel(), 1)


def _describe(images: Tensor) -> Tensor:
    """Magnitudes of the low frequencies of the mean over channels, float32 (n, d)."""
    h, w = images.shape[2:]
    rows, columns = min(FREQUENCIES, (h - 1) // 2), min(FREQUENCIES, w // 2)
    found = torch.empty(len(images), 2 * rows + 1, columns + 1)
    for batch, part in zip(
        images.split(_at_once(images)), found.split(_at_once(images)), strict=True
    ):
        z = torch.fft.rfft2(batch.float().mean(1) / 255, norm="ortho").abs()  # (n, h, w // 2 + 1)
        part.copy_(torch.cat([z[:, : rows + 1], z[:, h - rows :]], 1)[..., : columns + 1])
    found[..., 1:] *= 2**0.5  # each stands for its conjugate as well
    return found.flatten(1)


def _candidates(
    queries: Tensor, reference: Tensor, own: Tensor | None = None, asked: Tensor | None = None
) -> tuple[Rows, Float64]:
    """The nearest reference images of each query by their descriptors, (n, k) each.

    Block by block, the best kept: memory does not grow with the images.

    Args:
        queries: uint8 (n, c, h, w).
        reference: uint8 (m, c, h, w).
        own: int64 (n,), ascending: the reference image that each query is, which does not count.
        asked: bool (m,), the reference images among the queries. Of two of these the earlier one
            counts for no other, so that each pair stands once.

    Returns:
        Rows of the reference, and distances; those that do not count are infinitely far.
    """
    x, k = _describe(queries), min(NEAREST, len(reference))
    center = x.mean(0)  # distances come from a product, whose rounding is that of large norms
    x -= center
    least, index = torch.full((len(x), k), torch.inf), torch.zeros(len(x), k, dtype=torch.long)
    start = 0
    for images in reference.split(AT_ONCE):
        y = _describe(images) - center
        norms, places = y.square().sum(1), torch.arange(start, start + len(y))
        hidden_to_all = asked is not None and bool(asked[places].all())
        for rows in torch.arange(len(x)).split(ROWS):
            if own is not None and hidden_to_all and places[-1] <= own[rows[0]]:
                continue
            squares = torch.addmm(norms, x[rows], y.T, alpha=-2)
            if own is not None:
                mine = own[rows][:, None]
                hidden = places == mine
                if asked is not None:
                    hidden |= (places < mine) & asked[places]
                squares.masked_fill_(hidden, torch.inf)
            near = squares.topk(min(k, len(y)), 1, largest=False)
            values = torch.cat([least[rows], near.values], 1)
            both = torch.cat([index[rows], near.indices + start], 1)
            least[rows], order = values.topk(k, 1, largest=False)
            index[rows] = both.gather(1, order)
        start += len(y)
    distance = (least + x.square().sum(1, keepdim=True)).clamp_min_(0).sqrt_()
    return index.numpy(), distance.double().numpy()


def _registered(a: Tensor, b: Tensor, rows: Rows, others: Rows) -> Float64:
    """The registered distance of each pair of rows of uint8 (n, c, h, w), (p,)."""
    h, w = a.shape[2:]
    up, left = min(SHIFT, (h - 1) // 2), min(SHIFT, (w - 1) // 2)
    # Small results kept one by one between large ones that go would leave holes too small for the
    # next: a gigabyte of them after a million pairs.
    found = torch.empty(len(rows))
    n = _at_once(a)
    for start in range(0, len(rows), n):
        x = a[rows[start : start + n], :, up : h - up, left : w - left].float() / 255
        y = b[others[start : start + n]].float() / 255
        least = torch.full((len(x),), torch.inf)
        for i in range(2 * up + 1):
            for j in range(2 * left + 1):
                moved = y[:, :, i : i + x.shape[2], j : j + x.shape[3]]
                least = torch.minimum(least, (x - moved).square_().sum((1, 2, 3)))
        found[start : start + n] = least.sqrt()
    return found.double().numpy()

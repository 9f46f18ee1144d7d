"""Likeness: how far synthetic images are from real ones in each extractor, or why that is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hvrt_diffuser.common.scratch import take_rows
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.judge.extractors import Extractor
from hvrt_diffuser.metrics import excess_frechet, kernel_test
from hvrt_diffuser.metrics.likeness import fewest_for_excess

__all__ = ["likeness"]

MOST = 50_000  # images of each set: features of all would be too many to hold
FEWEST = 10  # images of each set, for a kernel test


def likeness(
    synthetic: Tensor, test: Tensor, extractors: Mapping[str, Extractor], *, seed: int
) -> dict[str, dict[str, Any]]:
    """The excess Fréchet distance in each extractor; a kernel test where images are few.

    Of more than 50,000 images of a set, that many at random are compared, as ``n`` then says.

    Args:
        synthetic: uint8 (n, c, h, w), what is judged.
        test: uint8 (m, c, h, w), real images that it was not made from.
        extractors: by name.
        seed: of halvings and permutations.

    Returns:
        JSON by extractor: ``e``, ``low`` and ``high`` of
        :func:`hvrt_diffuser.metrics.excess_frechet`, or ``kid`` and ``p`` of
        :func:`hvrt_diffuser.metrics.kernel_test`; ``n``, images of each set that were compared;
        ``features``; and ``reason``, why the excess is None.
    """
    synthetic, test = (
        _some(images, seed, name) for name, images in (("synthetic", synthetic), ("test", test))
    )
    return {
        name: _in_one(extract, synthetic, test, derive_seed(seed, "likeness", name) % 2**32)
        for name, extract in extractors.items()
    }


def _some(images: Tensor, seed: int, name: str) -> Tensor:
    if len(images) <= MOST:
        return images
    order = torch.randperm(len(images), generator=generator(seed, "likeness", "sample", name))
    return take_rows(images, order[:MOST].sort().values)


def _in_one(extract: Extractor, synthetic: Tensor, test: Tensor, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(("e", "low", "high", "kid", "p"))
    found |= {"n": min(len(synthetic), len(test)), "features": None, "reason": None}
    if found["n"] < FEWEST:
        return found | {
            "reason": f"{len(synthetic):,} synthetic and {len(test):,} test images are too few, "
            f"where at least {FEWEST} of each are compared."
        }
    ours, theirs = extract(synthetic), extract(test)
    found["features"] = ours.shape[1]
    if np.ptp(theirs, axis=0).max() == 0:
        return found | {"reason": "All test images are alike in these features."}
    enough = fewest_for_excess(ours.shape[1])
    half = min(len(synthetic), len(test) // 2)
    if half >= enough:
        return found | {"n": half} | excess_frechet(ours, theirs, seed=seed)._asdict()
    kid, p = kernel_test(ours, theirs, seed=seed)
    return found | {
        "kid": kid,
        "p": p,
        "reason": f"{len(synthetic):,} synthetic and {len(test):,} test images are too few to say "
        f"by how much they differ, where at least {enough:,} and {2 * enough:,} are needed.",
    }

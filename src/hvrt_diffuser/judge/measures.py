"""What is measured of the evidence.

The name of a figure ends in the extractor or the space that it was measured in. All are of sets of
the sizes that stand beside them, against the test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST, Evidence
from hvrt_diffuser.judge.extractors import pixels
from hvrt_diffuser.metrics import (
    Metric,
    PixelRows,
    attribution,
    kolmogorov_smirnov,
    likelihood_gap,
    named_metrics,
    novelty,
    wasserstein,
)

__all__ = ["MEASURED", "MOST_COMPARED", "measure"]

Array = NDArray[np.float32]
Measured = dict[str, Any]

MOST_COMPARED = 5000  # images of a set that every training image is compared with
MEASURED = (
    "fd_at_infinity",
    "kid",
    "inception_score",
    "manifold",
    "vendi",
    "mmd",
    "sliced_wasserstein",
    "classifier_test",
    "nearest_neighbour_test",
)
"""What is measured in the judge's features unless something else is asked for."""


def measure(evidence: Evidence, metrics: Sequence[str] = MEASURED) -> Measured:
    """Every measure on every set that it makes sense for, and that has images enough.

    Args:
        evidence: the sets.
        metrics: names, as for :func:`hvrt_diffuser.metrics.named_metrics`, of those that are
            measured in the judge's features.

    Returns:
        JSON: by measure, by set, a number or several by name, None where there are too few images;
        and ``skipped``, the reason by measure.

    Raises:
        InputError: an unknown metric.
    """
    named = named_metrics(["fd", *metrics])
    fd = named.pop("fd")
    skipped: dict[str, str] = {}
    found: Measured = {"skipped": skipped}
    for name in evidence.features:
        key = f"fd_{name}".replace("fd_inception", "fid")
        found[key] = _by_set(evidence, fd, "fd", name, skipped, key)
    for key, metric in named.items():
        found[f"{key}_classifier"] = _by_set(
            evidence, metric, key, "classifier", skipped, f"{key}_classifier"
        )
    for name, parts in {"latents": _in_latents, "images": _in_images}.items():
        try:
            found |= parts(evidence)
        except InputError as error:
            skipped[name] = str(error)
    return found


def _by_set(
    evidence: Evidence,
    metric: Metric,
    key: str,
    extractor: str,
    skipped: dict[str, str],
    name: str,
) -> Measured:
    """A metric of each set against the test images, and where it takes no reference of these."""
    sets = evidence.features[extractor]
    if metric.takes == "probabilities":
        sets = evidence.probabilities
    seed = derive_seed(evidence.seed, "evaluation", metric.stream or key)

    def one(x: Array) -> Any:
        try:
            return metric(sets[TEST], x, seed=seed)
        except InputError as error:
            skipped[name] = str(error)
            return None

    return {key: one(x) for key, x in sets.items() if metric.alone or key != TEST}


def _in_latents(evidence: Evidence) -> Measured:
    """Marginals, and how far draws are from the training latents; nothing of a whole model."""
    latents = evidence.latents
    if latents is None:
        return {}
    varies = latents.test.std(axis=0) > 0
    sets = {SYNTHETIC: latents.draws, "real_floor": latents.floor}
    novel = novelty(latents.draws, latents.training, latents.test)
    return {
        "ks": {name: float(kolmogorov_smirnov(x, latents.test).mean()) for name, x in sets.items()},
        "wasserstein": {
            name: float(wasserstein(x[:, varies], latents.test[:, varies]).mean())
            for name, x in sets.items()
        },
        "dcr_latent": {SYNTHETIC: novel.dcr_ratio},
        "authentic_latent": {SYNTHETIC: novel.authentic, TEST: novel.authentic_held_out},
        "attribution": {
            SYNTHETIC: None
            if latents.rows is None
            else attribution(latents.draws, latents.rows, latents.training)
        },
    }


def _in_images(evidence: Evidence) -> Measured:
    """How far synthetic images are from training images, relative to test images.

    ``image``: training and test images decoded, so that what the autoencoder blurs away tells
    nothing apart; those of a whole model pass no decoder, and nor do these then. ``raw``: as they
    are, which shows copies that no autoencoder has made.
    """
    found: Measured = {}
    raw = evidence.training, evidence.images[TEST]
    decoded = evidence.decoded_training, evidence.images["reconstruction_floor"]
    for space, (training, held_out) in (
        ("image", raw if evidence.latents is None else decoded),
        ("raw", raw),
    ):
        novel = novelty(
            PixelRows(_some(evidence.images[SYNTHETIC], evidence.seed)),
            PixelRows(training),
            PixelRows(_some(held_out, evidence.seed)),
        )
        found[f"dcr_{space}"] = {SYNTHETIC: novel.dcr_ratio}
        found[f"authentic_{space}"] = {
            SYNTHETIC: novel.authentic,
            TEST: novel.authentic_held_out,
        }
    found["likelihood_gap_raw"] = {
        SYNTHETIC: likelihood_gap(
            *(
                pixels(_some(images, evidence.seed))
                for images in (
                    evidence.training,
                    evidence.images[TEST],
                    evidence.images[SYNTHETIC],
                )
            ),
            seed=derive_seed(evidence.seed, "evaluation", "likelihood"),
        )
    }
    return found


def _some(images: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(images), generator=generator(seed, "evaluation", "compared"))
    return images[order[:MOST_COMPARED]]

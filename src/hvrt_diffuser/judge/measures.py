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

from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST, Evidence
from hvrt_diffuser.judge.extractors import pixels
from hvrt_diffuser.metrics import (
    Metric,
    attribution,
    kolmogorov_smirnov,
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
    """Every measure on every set that it makes sense for.

    Args:
        evidence: the sets.
        metrics: names, as for :func:`hvrt_diffuser.metrics.named_metrics`, of those that are
            measured in the judge's features; those that the verdict rests on are in any case.

    Returns:
        JSON: by measure, by set, a number or several by name.

    Raises:
        InputError: fewer images than features or neighbours, features that are not finite, or an
            unknown metric.
    """
    named = named_metrics(["fd", *metrics, "manifold"])
    fd = named.pop("fd")
    return {
        "n": {name: len(images) for name, images in evidence.images.items()},
        **_presence(evidence),
        **{
            f"fd_{name}".replace("fd_inception", "fid"): _by_set(evidence, fd, "fd", name)
            for name in evidence.features
        },
        **{
            f"{key}_classifier": _by_set(evidence, metric, key, "classifier")
            for key, metric in named.items()
        },
        **_in_latents(evidence),
        **_in_images(evidence),
    }


def _presence(evidence: Evidence) -> Measured:
    """Which classes are there, and whether the judge sees in an image what its label says."""
    present = evidence.labels[SYNTHETIC].unique()
    names = evidence.class_names
    agree = {
        name: evidence.probabilities[name].argmax(axis=1) == labels.numpy()
        for name, labels in evidence.labels.items()
    }
    by_class = {}
    for c in evidence.expected.tolist():
        of_class = {name: labels.numpy() == c for name, labels in evidence.labels.items()}
        by_class[names[c]] = {
            name: {
                "n": int(of_class[name].sum()),
                "agreement": _percent(agree[name][of_class[name]]),
            }
            for name in (TEST, SYNTHETIC)
        }
    return {
        "classes": [names[c] for c in present.tolist()],
        "missing_classes": [
            names[c] for c in evidence.expected.tolist() if c not in present.tolist()
        ],
        "label_agreement": {name: _percent(values) for name, values in agree.items()},
        "per_class": by_class,
    }


def _percent(values: NDArray[np.bool_]) -> float | None:
    """The share of what is true; None of nothing."""
    return 100 * float(values.mean()) if len(values) else None


def _by_set(evidence: Evidence, metric: Metric, key: str, extractor: str) -> Measured:
    """A metric of each set against the test images, and where it takes no reference of these."""
    sets = evidence.features[extractor]
    if metric.takes == "probabilities":
        sets = evidence.probabilities
    seed = derive_seed(evidence.seed, "evaluation", metric.stream or key)
    return {
        name: metric(sets[TEST], x, seed=seed)
        for name, x in sets.items()
        if metric.alone or name != TEST
    }


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
            pixels(_some(evidence.images[SYNTHETIC], evidence.seed)),
            pixels(training),
            pixels(_some(held_out, evidence.seed)),
        )
        found[f"dcr_{space}"] = {SYNTHETIC: novel.dcr_ratio}
        found[f"authentic_{space}"] = {
            SYNTHETIC: novel.authentic,
            TEST: novel.authentic_held_out,
        }
    return found


def _some(images: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(images), generator=generator(seed, "evaluation", "compared"))
    return images[order[:MOST_COMPARED]]

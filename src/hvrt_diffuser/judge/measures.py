"""The one place where a measure is added: a function of the evidence, and its name.

The name of a figure ends in the extractor or the space that it was measured in. All are of sets of
the sizes that stand beside them, against the test images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST, Evidence
from hvrt_diffuser.judge.extractors import pixels
from hvrt_diffuser.metrics import (
    attribution,
    classifier_test,
    frechet_distance,
    frechet_distance_at_infinity,
    inception_score,
    kernel_distance,
    kolmogorov_smirnov,
    manifold,
    mmd,
    nearest_neighbour_test,
    novelty,
    sliced_wasserstein,
    vendi_score,
    wasserstein,
)

__all__ = ["measure"]

Array = NDArray[np.float32]
Measured = dict[str, Any]

NEIGHBOURS = 5
MOST_COMPARED = 5000  # images of a set that every training image is compared with
SUBSET_SIZE = 1000  # of the kernel distance, or all images where there are fewer


def measure(evidence: Evidence) -> Measured:
    """Every measure on every set that it makes sense for.

    Returns:
        JSON: by measure, by set, a number or several by name.

    Raises:
        InputError: fewer images than features or neighbours, or features that are not finite.
    """
    return {
        "n": {name: len(images) for name, images in evidence.images.items()},
        **_presence(evidence),
        **{
            f"fd_{name}".replace("fd_inception", "fid"): _against_test(features, frechet_distance)
            for name, features in evidence.features.items()
        },
        **{
            f"{name}_classifier": function(evidence, evidence.features["classifier"])
            for name, function in IN_FEATURES.items()
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


def _against_test(
    sets: dict[str, Array], function: Callable[[Array, Array], Any]
) -> dict[str, Any]:
    return {name: function(x, sets[TEST]) for name, x in sets.items() if name != TEST}


def _fd_at_infinity(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    """None for a set of which half are too few."""
    seed = derive_seed(evidence.seed, "evaluation", "infinity")

    def extrapolate(a: Array, b: Array) -> float | None:
        enough = len(a) // 2 > a.shape[1]
        return frechet_distance_at_infinity(a, b, seed=seed) if enough else None

    return _against_test(sets, extrapolate)


def _kid(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    size = min(SUBSET_SIZE, *map(len, sets.values()))
    seed = derive_seed(evidence.seed, "evaluation", "kernel")

    def compare(a: Array, b: Array) -> Measured:
        return kernel_distance(a, b, subset_size=size, seed=seed)._asdict()

    return _against_test(sets, compare)


def _inception_score(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    return {name: inception_score(p) for name, p in evidence.probabilities.items()}


def _manifold(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    return _against_test(sets, lambda a, b: manifold(b, a, k=NEIGHBOURS)._asdict())


def _vendi(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    return {name: vendi_score(x) for name, x in sets.items()}


def _mmd(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    seed = derive_seed(evidence.seed, "evaluation", "mmd")
    return _against_test(sets, lambda a, b: mmd(a, b, seed=seed))


def _sliced(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    seed = derive_seed(evidence.seed, "evaluation", "sliced") % 2**32
    return _against_test(sets, lambda a, b: sliced_wasserstein(a, b, seed=seed))


def _classifier_test(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    seed = derive_seed(evidence.seed, "evaluation", "two_sample")
    return _against_test(sets, lambda a, b: classifier_test(a, b, seed=seed)._asdict())


def _nearest_neighbour_test(evidence: Evidence, sets: dict[str, Array]) -> Measured:
    seed = derive_seed(evidence.seed, "evaluation", "two_sample")
    return _against_test(sets, lambda a, b: nearest_neighbour_test(a, b, seed=seed)._asdict())


IN_FEATURES: dict[str, Callable[[Evidence, dict[str, Array]], Measured]] = {
    "fd_at_infinity": _fd_at_infinity,
    "kid": _kid,
    "inception_score": _inception_score,
    "manifold": _manifold,
    "vendi": _vendi,
    "mmd": _mmd,
    "sliced_wasserstein": _sliced,
    "classifier_test": _classifier_test,
    "nearest_neighbour_test": _nearest_neighbour_test,
}


def _in_latents(evidence: Evidence) -> Measured:
    """Marginals, and how far draws are from the training latents."""
    latents = evidence.latents
    varies = latents.test.std(axis=0) > 0
    sets = {SYNTHETIC: latents.draws, "train_floor": latents.floor}
    novel = novelty(latents.draws, latents.training, latents.test)
    return {
        "latent_ks": {
            name: float(kolmogorov_smirnov(x, latents.test).mean()) for name, x in sets.items()
        },
        "latent_wasserstein": {
            name: float(wasserstein(x[:, varies], latents.test[:, varies]).mean())
            for name, x in sets.items()
        },
        "dcr_ratio_latent": {SYNTHETIC: novel.dcr_ratio},
        "authentic_latent": {SYNTHETIC: novel.authentic, TEST: novel.authentic_held_out},
        "attribution_latent": {
            SYNTHETIC: None
            if latents.rows is None
            else attribution(latents.draws, latents.rows, latents.training)
        },
    }


def _in_images(evidence: Evidence) -> Measured:
    """How far synthetic images are from training images, relative to test images.

    ``image``: training and test images decoded, so that what the autoencoder blurs away tells
    nothing apart. ``raw``: as they are, which shows copies that no autoencoder has made.
    """
    found: Measured = {}
    for space, training, held_out in (
        ("image", evidence.decoded_training, evidence.images["reconstruction_floor"]),
        ("raw", evidence.training, evidence.images[TEST]),
    ):
        novel = novelty(
            pixels(_some(evidence.images[SYNTHETIC], evidence.seed)),
            pixels(training),
            pixels(_some(held_out, evidence.seed)),
        )
        found[f"dcr_ratio_{space}"] = {SYNTHETIC: novel.dcr_ratio}
        found[f"authentic_{space}"] = {
            SYNTHETIC: novel.authentic,
            TEST: novel.authentic_held_out,
        }
    return found


def _some(images: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(images), generator=generator(seed, "evaluation", "compared"))
    return images[order[:MOST_COMPARED]]

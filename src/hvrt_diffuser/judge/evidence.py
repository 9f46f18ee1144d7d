"""What the measures look at: sets of images, seen by every extractor, and the latents."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import classify
from hvrt_diffuser.common.scratch import take_rows
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.judge.extractors import Extractor
from hvrt_diffuser.samplers import LatentSampler, StandardNormal

__all__ = ["MOST_SAMPLED", "SYNTHETIC", "TEST", "Evidence", "LatentEvidence", "gather"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

SYNTHETIC = "synthetic"
TEST = "test"
MOST_SAMPLED = 50_000  # images of a set


@dataclass(frozen=True)
class LatentEvidence:
    """Latents, of which draws are compared with those of training and of test images.

    Attributes:
        draws: float32 (n, d), from the sampler.
        rows: int64 (n,), the training latent that each draw started from; None where the sampler
            starts from none.
        training: float32 (m, d), in the sampler's order.
        test: float32 (k, d).
        floor: float32 (n, d), of the training images of ``real_floor``.
    """

    draws: Array
    rows: NDArray[np.int64] | None
    training: Array
    test: Array
    floor: Array


@dataclass(frozen=True)
class Evidence:
    """Sets of images by name, as the extractors see them; all are compared with ``test``.

    Names: ``synthetic``, what is judged; ``vae_beta_1`` and alike, a VAE's prior decoded; and the
    floors, which no sampler can be expected to fall below: ``real_floor``, real training images;
    ``reconstruction_floor``, test images through the autoencoder; ``copy_floor``, training images
    through the autoencoder, which is what a pure copier makes.

    Attributes:
        images: uint8 (n, c, h, w) of each set, n at most 50,000.
        features: by extractor, float32 (n, f) of each set.
        probabilities: float32 (n, k) of each set, by the judge.
        training: uint8 (m, c, h, w), all training images.
        decoded_training: uint8 (m, c, h, w), all training images through the autoencoder.
        latents: see :class:`LatentEvidence`; None of a whole model, which has none.
        seed: of what the measures draw.
    """

    images: dict[str, Tensor]
    features: dict[str, dict[str, Array]]
    probabilities: dict[str, Array]
    training: Tensor
    decoded_training: Tensor
    latents: LatentEvidence | None
    seed: int


def gather(
    synthetic: LabelledImages,
    bench: Bench,
    sampler: LatentSampler | None,
    vae: tuple[str, Autoencoder],
    extractors: Mapping[str, Extractor],
    *,
    expected: Tensor,
    seed: int,
) -> Evidence:
    """Show every set to the judge and to the extractors.

    The training-side sets are of the same size as the synthetic one where there are as many
    images. The real sets hold the classes that the synthetic one should hold. Of a set of more than
    50,000 images that many at random are looked at, which is logged.

    Args:
        synthetic: what is judged.
        bench: of the real images, with an autoencoder, which gives the floors of what is decoded.
        sampler: drew the latents of the synthetic images; None of what has none.
        vae: name and network of a VAE to compare with.
        extractors: by name.
        expected: int64, the classes that the synthetic images should hold.
        seed: of the subsets and of the draws from samplers.
    """
    train, test, device = bench.train, bench.test, bench.device
    train_rows = torch.isin(train.labels, expected).nonzero()[:, 0]
    test_rows = _sampled(torch.isin(test.labels, expected).nonzero()[:, 0], seed, TEST)
    synthetic_rows = _sampled(torch.arange(len(synthetic)), seed, SYNTHETIC)
    n = len(synthetic_rows)
    chosen = torch.randperm(len(train_rows), generator=generator(seed, "evaluation", "train"))[:n]
    floor_rows = train_rows[chosen]

    vae_name, vae_model = vae
    prior = StandardNormal(vae_model.architecture.latent_dim, torch.bincount(train.labels))
    prior_draws, _ = prior.sample(n, generator=generator(seed, "evaluation", "prior"))
    images = {
        TEST: take_rows(test.images, test_rows),
        SYNTHETIC: synthetic.images
        if n == len(synthetic)
        else take_rows(synthetic.images, synthetic_rows),
        vae_name: decode_latents(vae_model, prior_draws, device),
        "real_floor": take_rows(train.images, floor_rows),
        "reconstruction_floor": take_rows(bench.reconstructed, test_rows),
        "copy_floor": take_rows(bench.seen, floor_rows),
    }
    latents = None
    if sampler is not None:
        drawn = sampler.draw(
            n,
            torch.full((n,), int(expected)) if len(expected) == 1 else None,
            generator=generator(seed, "evaluation", "latents"),
        )
        latents = LatentEvidence(
            drawn.latents.numpy(),
            None if drawn.rows is None else drawn.rows.numpy(),
            bench.seen_latents,
            bench.held_out[test_rows].numpy(),
            bench.latents[floor_rows].numpy(),
        )
    return Evidence(
        images=images,
        features={
            name: {key: extract(values) for key, values in images.items()}
            for name, extract in extractors.items()
        },
        probabilities={
            name: classify(bench.judge, values, device)[1].numpy()
            for name, values in images.items()
        },
        training=train.images,
        decoded_training=bench.seen,
        latents=latents,
        seed=seed,
    )


def _sampled(rows: Tensor, seed: int, name: str) -> Tensor:
    """At most 50,000 of the rows, int64, in their order."""
    if len(rows) <= MOST_SAMPLED:
        return rows
    logger.warning(
        "of %s %s images, %s at random are measured",
        f"{len(rows):,}",
        name,
        f"{MOST_SAMPLED:,}",
    )
    order = torch.randperm(len(rows), generator=generator(seed, "evaluation", "sample", name))
    return rows[order[:MOST_SAMPLED].sort().values]

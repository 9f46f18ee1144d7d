"""What the measures look at: sets of images, seen by every extractor, and the latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import classify
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.judge.extractors import Extractor
from hvrt_diffuser.samplers import LatentSampler, StandardNormal

__all__ = ["SYNTHETIC", "TEST", "Evidence", "LatentEvidence", "gather"]

Array = NDArray[np.float32]

SYNTHETIC = "synthetic"
TEST = "test"


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
        images: uint8 (n, c, h, w) of each set.
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
    images. The real sets hold the classes that the synthetic one should hold.

    Args:
        synthetic: what is judged.
        bench: of the real images, with an autoencoder, which gives the floors of what is decoded.
        sampler: drew the latents of the synthetic images; None of what has none.
        vae: name and network of a VAE to compare with.
        extractors: by name.
        expected: int64, the classes that the synthetic images should hold.
        seed: of the subsets and of the draws from samplers.
    """
    train, test, device, n = bench.train, bench.test, bench.device, len(synthetic)
    train_rows = torch.isin(train.labels, expected).nonzero()[:, 0]
    test_rows = torch.isin(test.labels, expected).nonzero()[:, 0]
    chosen = torch.randperm(len(train_rows), generator=generator(seed, "evaluation", "train"))[:n]
    floor_rows = train_rows[chosen]

    vae_name, vae_model = vae
    prior = StandardNormal(vae_model.architecture.latent_dim, torch.bincount(train.labels))
    prior_draws, _ = prior.sample(n, generator=generator(seed, "evaluation", "prior"))
    images = {
        TEST: test.images[test_rows],
        SYNTHETIC: synthetic.images,
        vae_name: decode_latents(vae_model, prior_draws, device),
        "real_floor": train.images[floor_rows],
        "reconstruction_floor": bench.reconstructed[test_rows],
        "copy_floor": bench.seen[floor_rows],
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

"""What the measures look at: sets of images, seen by every extractor, and the latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import check_fit
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
        floor: float32 (n, d), of the training images of ``train_floor``.
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
    floors, which no sampler can be expected to fall below: ``train_floor``, real training images;
    ``reconstruction_floor``, test images through the autoencoder; ``copy_floor``, training images
    through the autoencoder, which is what a pure copier makes.

    Attributes:
        images: uint8 (n, c, h, w) of each set.
        labels: int64 (n,) of each set but the VAE's, whose images have none.
        features: by extractor, float32 (n, f) of each set.
        probabilities: float32 (n, k) of each set, by the judge.
        training: uint8 (m, c, h, w), all training images.
        decoded_training: uint8 (m, c, h, w), all training images through the autoencoder.
        latents: see :class:`LatentEvidence`.
        class_names: of all classes.
        expected: int64, the classes that the synthetic images should hold.
        seed: of what the measures draw.
    """

    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    features: dict[str, dict[str, Array]]
    probabilities: dict[str, Array]
    training: Tensor
    decoded_training: Tensor
    latents: LatentEvidence
    class_names: tuple[str, ...]
    expected: Tensor
    seed: int


def gather(
    synthetic: LabelledImages,
    train: tuple[LabelledImages, Tensor],
    test: tuple[LabelledImages, Tensor],
    sampler: LatentSampler,
    autoencoder: Autoencoder,
    vae: tuple[str, Autoencoder],
    judge: Classifier,
    extractors: Mapping[str, Extractor],
    *,
    class_id: int | None,
    seed: int,
    device: torch.device,
) -> Evidence:
    """Show every set to the judge and to the extractors.

    The training-side sets are of the same size as the synthetic one where there are as many
    images. The real sets hold the classes that the synthetic one should hold.

    Args:
        synthetic: what is judged.
        train: training images and their latents (m, d).
        test: test images and their latents (k, d).
        sampler: gave the latents of the synthetic images.
        autoencoder: decodes them.
        vae: name and network of a VAE to compare with.
        judge: the classifier.
        extractors: by name.
        class_id: of the only class that was asked for; None expects all classes.
        seed: of the subsets and of the draws from samplers.
        device: where to compute.

    Raises:
        InputError: the sampler was fitted on latents of another autoencoder, or the synthetic
            images do not compare with the real ones.
    """
    check_fit(autoencoder, sampler)
    n = len(synthetic)
    k = len(test[0].class_names)
    expected = torch.arange(k) if class_id is None else torch.tensor([class_id])
    _check_comparable(synthetic, test[0], expected)
    train_rows = torch.isin(train[0].labels, expected).nonzero()[:, 0]
    test_rows = torch.isin(test[0].labels, expected).nonzero()[:, 0]
    chosen = torch.randperm(len(train_rows), generator=generator(seed, "evaluation", "train"))[:n]
    floor_rows = train_rows[chosen]

    drawn = sampler.draw(
        n,
        None if class_id is None else torch.full((n,), class_id),
        generator=generator(seed, "evaluation", "latents"),
    )
    vae_name, vae_model = vae
    prior = StandardNormal(vae_model.architecture.latent_dim, sampler.counts)
    prior_draws, _ = prior.sample(n, generator=generator(seed, "evaluation", "prior"))
    decoded_training = decode_latents(autoencoder, train[1], device)
    images = {
        TEST: test[0].images[test_rows],
        SYNTHETIC: synthetic.images,
        vae_name: decode_latents(vae_model, prior_draws, device),
        "train_floor": train[0].images[floor_rows],
        "reconstruction_floor": decode_latents(autoencoder, test[1][test_rows], device),
        "copy_floor": decoded_training[floor_rows],
    }
    of_test, of_train = test[0].labels[test_rows], train[0].labels[floor_rows]
    return Evidence(
        images=images,
        labels={
            TEST: of_test,
            SYNTHETIC: synthetic.labels,
            "train_floor": of_train,
            "reconstruction_floor": of_test,
            "copy_floor": of_train,
        },
        features={
            name: {key: extract(values) for key, values in images.items()}
            for name, extract in extractors.items()
        },
        probabilities={
            name: classify(judge, values, device)[1].numpy() for name, values in images.items()
        },
        training=train[0].images,
        decoded_training=decoded_training,
        latents=LatentEvidence(
            drawn.latents.numpy(),
            None if drawn.rows is None else drawn.rows.numpy(),
            train[1][torch.argsort(train[0].labels, stable=True)].numpy(),
            test[1][test_rows].numpy(),
            train[1][floor_rows].numpy(),
        ),
        class_names=test[0].class_names,
        expected=expected,
        seed=seed,
    )


def _check_comparable(synthetic: LabelledImages, test: LabelledImages, expected: Tensor) -> None:
    if synthetic.shape != test.shape:
        raise InputError(
            f"the synthetic images are of shape {synthetic.shape} and the real ones of "
            f"{test.shape} (channels, height, width): compare images of one shape"
        )
    if synthetic.class_names != test.class_names:
        raise InputError(
            f"the synthetic images have the classes {', '.join(synthetic.class_names)} and the "
            f"real ones {', '.join(test.class_names)}: compare images of the same classes"
        )
    if len(test.labels.unique()) < 2:
        raise InputError(
            f"all {len(test):,} real test images are of class "
            f"{test.class_names[int(test.labels[0])]}, expected at least two classes: add images "
            "of another, without which nothing can be classified"
        )
    others = ~torch.isin(synthetic.labels, expected)
    if others.any():
        found = synthetic.class_names[int(synthetic.labels[others][0])]
        raise InputError(
            f"{int(others.sum())} of the synthetic images are of other classes than were asked "
            f"for, such as {found}: run generation again, or judge with the generation.class_id "
            "that they were made with"
        )
    if (synthetic.images == synthetic.images[0]).all():
        raise InputError(
            f"all {len(synthetic):,} synthetic images are the same one, expected at least two that "
            "differ: look at the sampler that drew them"
        )

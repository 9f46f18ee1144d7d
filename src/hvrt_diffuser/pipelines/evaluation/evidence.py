"""What the measures look at: every set of images, seen by the judge, and the latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.diffuser import check_fit
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.samplers import SmoothedBootstrap, StandardNormal
from hvrt_diffuser.seeding import generator

__all__ = ["Evidence", "gather"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """Each set of images by name, as the judge sees it; all are compared with ``test``.

    Names: ``hvrt``, the synthetic images; ``vae_beta_1`` and alike, a VAE's prior decoded; and the
    floors, which no sampler can be expected to fall below: ``train_floor``, real training images;
    ``reconstruction_floor``, test images through the autoencoder; ``copy_floor``, training images
    through the autoencoder, which is what a pure copier makes.

    Attributes:
        features: float32 (n, f) of each set.
        probabilities: float32 (n, k) of each set.
        latents: float32 (n, d), of ``hvrt``, ``train_floor`` and ``test``.
    """

    features: dict[str, Array]
    probabilities: dict[str, Array]
    latents: dict[str, Array]


def gather(
    synthetic: LabelledImages,
    train: tuple[LabelledImages, Tensor],
    test: tuple[LabelledImages, Tensor],
    sampler: SmoothedBootstrap,
    autoencoder: Autoencoder,
    vae: tuple[str, Autoencoder],
    judge: Classifier,
    *,
    seed: int,
    device: torch.device,
) -> Evidence:
    """Show every set to the judge.

    The training-side sets are of the same size as the synthetic one where there are as many
    images, and the real sets hold only classes that the synthetic one holds.

    Args:
        synthetic: what is judged.
        train: training images and their latents (n, d).
        test: test images and their latents (m, d).
        sampler: gave the latents of the synthetic images.
        autoencoder: decodes them.
        vae: name and network of a VAE to compare with.
        judge: the classifier.
        seed: of the subsets and of the draws from samplers.
        device: where to compute.

    Raises:
        InputError: the sampler was fitted on latents of another autoencoder.
    """
    check_fit(autoencoder, sampler)
    n = len(synthetic)
    present = synthetic.labels.unique()
    train_rows = torch.isin(train[0].labels, present).nonzero()[:, 0]
    test_rows = torch.isin(test[0].labels, present).nonzero()[:, 0]
    chosen = torch.randperm(len(train_rows), generator=generator(seed, "evaluation", "train"))[:n]
    train_rows = train_rows[chosen]

    everything = len(present) == sampler.n_classes
    drawn, _ = sampler.sample(
        n,
        None if everything else synthetic.labels,
        generator=generator(seed, "evaluation", "latents"),
    )
    vae_name, vae_model = vae
    prior = StandardNormal(vae_model.architecture.latent_dim, sampler.counts)
    prior_draws, _ = prior.sample(n, generator=generator(seed, "evaluation", "prior"))
    sets = {
        "test": test[0].images[test_rows],
        "hvrt": synthetic.images,
        vae_name: decode_latents(vae_model, prior_draws, device),
        "train_floor": train[0].images[train_rows],
        "reconstruction_floor": decode_latents(autoencoder, test[1][test_rows], device),
        "copy_floor": decode_latents(autoencoder, train[1][train_rows], device),
    }
    seen = {name: classify(judge, images, device) for name, images in sets.items()}
    return Evidence(
        {name: features.numpy() for name, (features, _) in seen.items()},
        {name: probabilities.numpy() for name, (_, probabilities) in seen.items()},
        {
            "hvrt": drawn.numpy(),
            "train_floor": train[1][train_rows].numpy(),
            "test": test[1][test_rows].numpy(),
        },
    )

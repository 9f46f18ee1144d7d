"""Nodes of ``evaluation``."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.classifiers import Classifier, classify, train_judge
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.judge import (
    Extractor,
    classifier_features,
    encoder_features,
    gather,
    inception_features,
    measure,
    pixels,
)
from hvrt_diffuser.pipelines.ae_training.parameters import BaselineOptions
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluationOptions
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions
from hvrt_diffuser.samplers import LatentSampler, SmoothedBootstrap

__all__ = ["evaluate", "train_classifier_judge"]


def train_classifier_judge(
    images_train: LabelledImages, options: EvaluationOptions, seed: int, device: str
) -> Classifier:
    """The judge, which has seen real training images alone."""
    return train_judge(
        images_train.images,
        images_train.labels,
        len(images_train.class_names),
        options.judge,
        seed=seed,
        device=resolve_device(options.device or device),
    )


def evaluate(
    synthetic_images: LabelledImages,
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    latent_sampler: LatentSampler,
    autoencoder: Autoencoder,
    vae: Autoencoder,
    vae_options: BaselineOptions,
    classifier: Classifier,
    generation: GenerationOptions,
    options: EvaluationOptions,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """Every measure on every set, with the sizes of the sets."""
    where = resolve_device(options.device or device)
    evidence = gather(
        synthetic_images,
        (images_train, table_to_latents(latents_train)[0]),
        (images_test, table_to_latents(latents_test)[0]),
        latent_sampler,
        autoencoder,
        (vae_options.name, vae),
        classifier,
        _extractors(classifier, autoencoder, options, where),
        class_id=generation.class_id,
        seed=seed,
        device=where,
    )
    _, probabilities = classify(classifier, images_test.images, where)
    correct = probabilities.argmax(1) == images_test.labels
    return {
        "origin": latent_sampler.origin,
        "images": fingerprint(synthetic_images),
        "latent_dim": autoencoder.architecture.latent_dim,
        "leaves": _leaves(latent_sampler),
        "judge_accuracy": 100 * correct.double().mean().item(),
        **measure(evidence),
    }


def _leaves(sampler: LatentSampler) -> dict[str, int] | None:
    """How fine the partition is, where there is one."""
    if not isinstance(sampler, SmoothedBootstrap):
        return None
    return {
        "unconditional": sampler.overall.n_leaves,
        "per_class": sampler.per_class.n_leaves,
    }


def _extractors(
    classifier: Classifier,
    autoencoder: Autoencoder,
    options: EvaluationOptions,
    device: torch.device,
) -> dict[str, Extractor]:
    makers = {
        "classifier": lambda: classifier_features(classifier, device),
        "encoder": lambda: encoder_features(autoencoder, device),
        "pixels": lambda: pixels,
        "inception": lambda: inception_features(
            options.inception_weights, device, download=options.inception_download
        ),
    }
    return {name: makers[name]() for name in options.extractors}

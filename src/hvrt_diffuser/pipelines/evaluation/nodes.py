"""Nodes of ``evaluation``."""

from __future__ import annotations

from typing import Any

import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier, JudgeOptions, classify, train_judge
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import (
    MOST_COMPARED,
    Bench,
    Extractor,
    classifier_features,
    encoder_features,
    gather,
    inception_features,
    measure,
    pixels,
)
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluateOptions
from hvrt_diffuser.samplers import LatentSampler, SmoothedBootstrap

__all__ = ["evaluate", "train_classifier_judge"]


def train_classifier_judge(
    images_train: LabelledImages, options: JudgeOptions, device: str, seed: int
) -> Classifier:
    """The judge, which has seen real training images alone."""
    return train_judge(
        images_train.images,
        images_train.labels,
        len(images_train.class_names),
        options,
        seed=seed,
        device=resolve_device(device),
    )


def evaluate(
    synthetic_images: LabelledImages,
    images_train: LabelledImages,
    images_test: LabelledImages,
    generator: HVRTDiffuser,
    vae: Autoencoder,
    classifier: Classifier,
    options: EvaluateOptions,
) -> dict[str, Any]:
    """Every measure on every set, with the sizes of the sets."""
    where = resolve_device(options.device or "auto")
    autoencoder = generator.autoencoder
    assert autoencoder is not None, "a run always has one"
    bench = Bench(
        images_train,
        images_test,
        classifier,
        n=len(synthetic_images),
        compared=MOST_COMPARED,
        device=where,
        autoencoder=autoencoder,
    )
    sampler = generator.sampler
    evidence = gather(
        synthetic_images,
        bench,
        sampler if isinstance(sampler, LatentSampler) else None,
        (options.vae, vae),
        _extractors(classifier, autoencoder, options, where),
        class_id=options.class_id,
        seed=options.seed,
    )
    _, probabilities = classify(classifier, images_test.images, where)
    correct = probabilities.argmax(1) == images_test.labels
    return {
        "origin": dict(generator.origin),
        "images": fingerprint(synthetic_images),
        "latent_dim": autoencoder.architecture.latent_dim,
        "leaves": _leaves(generator.sampler),
        "judge_accuracy": 100 * correct.double().mean().item(),
        **measure(evidence, options.metrics),
    }


def _leaves(sampler: Any) -> dict[str, int] | None:
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
    options: EvaluateOptions,
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

"""Nodes of ``evaluation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier, JudgeOptions, train_judge_together
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.data.classes import class_index
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import (
    MOST_COMPARED,
    Bench,
    Extractor,
    dinov2_features,
    doubtful,
    encoder_features,
    examine,
    gather,
    inception_features,
    measure,
    pixels,
    reconstruction,
    trained_extractors,
    untrained_extractors,
)
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluateOptions
from hvrt_diffuser.samplers import LatentSampler, SmoothedBootstrap

__all__ = ["evaluate", "train_classifier_judge"]

FOREIGN = ("inception", "dinov2")
"""Extractors of others, in which likeness is measured where they are asked for."""


def train_classifier_judge(
    images_train: LabelledImages, options: JudgeOptions, device: str, seed: int
) -> Classifier:
    """The judge, which has seen real training images alone."""
    return train_judge_together(
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
    """Likeness, copies and membership; and every measure on every set, with their sizes."""
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
    names = images_train.class_names
    k = len(names)
    expected = torch.arange(k)
    if options.class_id is not None:
        expected = torch.tensor([class_index(names, options.class_id)])
    likeness = {
        **trained_extractors(classifier, where),
        **untrained_extractors(images_train.images, where),
    }
    extractors = _extractors(autoencoder, likeness, options, where)
    likeness |= {name: extractors[name] for name in FOREIGN if name in extractors}
    found = examine(
        synthetic_images,
        images_train,
        images_test,
        likeness,
        judge=classifier if k > 1 else None,
        expected=expected,
        seed=options.seed,
        device=where,
    )
    evidence = gather(
        synthetic_images,
        bench,
        sampler if isinstance(sampler, LatentSampler) else None,
        (options.vae, vae),
        extractors,
        expected=expected,
        seed=options.seed,
    )
    measured = measure(evidence, options.metrics)
    return {
        "origin": dict(generator.origin),
        "images": fingerprint(synthetic_images),
        "latent_dim": autoencoder.architecture.latent_dim,
        "leaves": _leaves(generator.sampler),
        "reconstruction": _reconstruction(bench, generator, expected, likeness, options.seed),
        "doubtful": doubtful(images_train, seed=options.seed, device=where),
        **found,
        "n": {name: len(images) for name, images in evidence.images.items()} | found["n"],
        **measured,
    }


def _reconstruction(
    bench: Bench,
    generator: HVRTDiffuser,
    expected: torch.Tensor,
    extractors: Mapping[str, Extractor],
    seed: int,
) -> dict[str, Any] | None:
    """What the autoencoder leaves of test images; None where nothing passes by it."""
    if not isinstance(generator.sampler, LatentSampler):
        return None
    rows = torch.isin(bench.test.labels, expected)
    return reconstruction(bench.reconstructed[rows], bench.test.images[rows], extractors, seed=seed)


def _leaves(sampler: Any) -> dict[str, int] | None:
    """How fine the partition is, where there is one."""
    if not isinstance(sampler, SmoothedBootstrap):
        return None
    return {
        "unconditional": sampler.overall.n_leaves,
        "per_class": sampler.per_class.n_leaves,
    }


def _extractors(
    autoencoder: Autoencoder,
    own: Mapping[str, Extractor],
    options: EvaluateOptions,
    device: torch.device,
) -> dict[str, Extractor]:
    makers: dict[str, Callable[[], Extractor]] = {
        **{name: partial(own.__getitem__, name) for name in own},
        "encoder": lambda: encoder_features(autoencoder, device),
        "pixels": lambda: pixels,
        "inception": lambda: inception_features(
            options.inception_weights, device, download=options.inception_download
        ),
        "dinov2": lambda: dinov2_features(options.dinov2_weights, device),
    }
    return {name: makers[name]() for name in options.extractors}

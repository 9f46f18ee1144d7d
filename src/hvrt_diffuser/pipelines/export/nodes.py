"""Nodes of ``export``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hvrt_diffuser.catalog import Export
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.scratch import scratch
from hvrt_diffuser.data.card import CardFacts, dataset_card
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.pipelines.export.parameters import ExportOptions
from hvrt_diffuser.report import set_name

__all__ = ["export"]


def export(
    synthetic_images: LabelledImages,
    added_images: LabelledImages | None,
    images_train: LabelledImages,
    report_metrics: dict[str, Any],
    options: ExportOptions,
) -> Export:
    """The synthetic images with a card that says what they are, and whether to trust them.

    Where images to add were asked for, these: the verdict is that on ``synthetic_images``, a draw
    of the same generator in the real proportions of the classes.
    """
    evaluation = report_metrics["evaluation"]
    if evaluation["images"] != fingerprint(synthetic_images):
        raise InputError(
            "the report is of other images than those that are there, expected one of these: run "
            "evaluation and report again"
        )
    images = synthetic_images if added_images is None else added_images
    names, n_real = images.class_names, 0
    if options.with_training:
        images, n_real = _after(images_train, images), len(images_train)
    counts = torch.bincount(images.labels, minlength=len(names)).tolist()
    verdicts = report_metrics["verdict"].values()
    machine, parameters = report_metrics["machine"], report_metrics["parameters"]
    made = report_metrics["stages"].get("generation.generate_images", {})
    own_seed = parameters["generation.seed"]
    fd = evaluation["fd_classifier"]
    facts = CardFacts(
        title=f"Synthetic images: {report_metrics['run_name']}",
        form=options.form,
        classes=list(zip(names, counts, strict=True)),
        shape=images.shape,
        source=report_metrics["dataset"]["source"],
        n_training=report_metrics["dataset"]["n_train"],
        autoencoder=f"{_autoencoder(parameters)}, {evaluation['latent_dim']} latent dimensions",
        sampler=_in_words(evaluation["origin"]),
        seed=report_metrics["seed"] if own_seed is None else own_seed,
        versions={k: v for k, v in machine.items() if k not in ("processor", "system")},
        command=made.get("command", "# not recorded"),
        verdict=[
            f"{found['question']} {found['sentence']} "
            + " ".join(finding["sentence"] for finding in found["findings"])
            for found in verdicts
        ]
        + _of_others(len(synthetic_images), added_images is not None, n_real),
        n_real=n_real,
        evidence=[
            ["Fréchet distance to test images, classifier's features (not FID)", ""],
            *([set_name(k), f"{v:.2f}" if v is not None else "too few"] for k, v in fd.items()),
        ],
    )
    return Export(images, options.form, dataset_card(facts), n_real)


def _autoencoder(parameters: Mapping[str, Any]) -> str:
    name = parameters.get("ae_training.autoencoder", "convolutional")
    weights = parameters.get("ae_training.weights") or parameters.get("ae_training.revision")
    return f"{name} on other images (weights {weights})" if weights else str(name)


def _after(real: LabelledImages, added: LabelledImages) -> LabelledImages:
    """Real images, and after them others of the same classes."""
    images = scratch((len(real) + len(added), *real.shape))
    images[: len(real)], images[len(real) :] = real.images, added.images
    return LabelledImages(
        images,
        torch.cat([real.labels, added.labels]),
        real.class_names,
        f"{real.source}, and {added.source}",
    )


def _of_others(n: int, adds: bool, n_real: int) -> list[str]:
    """What the verdict is not on."""
    found = []
    if adds:
        found.append(
            f"The verdict is on {n:,} other images that the same generator drew, in the real "
            "proportions of the classes."
        )
    if n_real:
        found.append(f"The first {n_real:,} images here are real training images.")
    return found


def _in_words(origin: dict[str, Any]) -> str:
    """What drew the images, with the options that matter most."""
    shown = {k: v for k, v in origin.items() if k in ("partitioner", "strategy", "strength")}
    return ", ".join([origin["sampler"], *(f"{name} {value}" for name, value in shown.items())])

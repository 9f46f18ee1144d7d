"""Nodes of ``export``."""

from __future__ import annotations

from typing import Any

import torch

from hvrt_diffuser.catalog import Export
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.card import CardFacts, dataset_card
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.pipelines.export.parameters import ExportOptions
from hvrt_diffuser.report import set_name

__all__ = ["export"]


def export(
    synthetic_images: LabelledImages, report_metrics: dict[str, Any], options: ExportOptions
) -> Export:
    """The synthetic images with a card that says what they are, and whether to trust them."""
    evaluation = report_metrics["evaluation"]
    if evaluation["images"] != fingerprint(synthetic_images):
        raise InputError(
            "the report is of other images than those that are there, expected one of these: run "
            "evaluation and report again"
        )
    names = synthetic_images.class_names
    counts = torch.bincount(synthetic_images.labels, minlength=len(names)).tolist()
    verdicts = report_metrics["verdict"].values()
    machine, parameters = report_metrics["machine"], report_metrics["parameters"]
    made = report_metrics["stages"].get("generation.generate_images", {})
    own_seed = parameters["generation.seed"]
    fd = evaluation["fd_classifier"]
    facts = CardFacts(
        title=f"Synthetic images: {report_metrics['run_name']}",
        form=options.form,
        classes=list(zip(names, counts, strict=True)),
        shape=synthetic_images.shape,
        source=report_metrics["dataset"]["source"],
        n_training=report_metrics["dataset"]["n_train"],
        autoencoder=f"convolutional, {evaluation['latent_dim']} latent dimensions",
        sampler=_in_words(evaluation["origin"]),
        seed=report_metrics["seed"] if own_seed is None else own_seed,
        versions={k: v for k, v in machine.items() if k not in ("processor", "system")},
        command=made.get("command", "# not recorded"),
        verdict=[
            f"{found['question']} {found['sentence']} "
            + " ".join(finding["sentence"] for finding in found["findings"])
            for found in verdicts
        ],
        evidence=[
            ["Fréchet distance to test images, classifier's features (not FID)", ""],
            *([set_name(k), f"{v:.2f}" if v is not None else "too few"] for k, v in fd.items()),
        ],
    )
    return Export(synthetic_images, options.form, dataset_card(facts))


def _in_words(origin: dict[str, Any]) -> str:
    """What drew the images, with the options that matter most."""
    shown = {k: v for k, v in origin.items() if k in ("partitioner", "strategy", "strength")}
    return ", ".join([origin["sampler"], *(f"{name} {value}" for name, value in shown.items())])

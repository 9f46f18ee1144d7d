"""``evaluation``: how the synthetic images compare with the real ones, beside the floors."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.evaluation.nodes import evaluate, train_classifier_judge

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images and models to ``classifier`` and ``evaluation_metrics``."""
    return pipeline(
        [
            node(
                train_classifier_judge,
                [
                    "images_train",
                    "params:evaluation.judge",
                    "params:evaluation.device",
                    "params:seed",
                ],
                "classifier",
                name="train_judge",
                tags="gpu",
            ),
            node(
                evaluate,
                [
                    "synthetic_images",
                    "images_train",
                    "images_test",
                    "latent_sampler",
                    "standard_vae",
                    "classifier",
                    "params:evaluate",
                ],
                "evaluation_metrics",
                name="evaluate",
                tags="gpu",
            ),
        ]
    )

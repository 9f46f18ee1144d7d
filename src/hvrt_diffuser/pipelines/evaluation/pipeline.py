"""``evaluation``: how the synthetic images compare with the real ones, beside the floors."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.evaluation.nodes import evaluate, train_classifier_judge

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images, latents and models to ``classifier`` and ``evaluation_metrics``."""
    settings = ["params:evaluation", "params:seed", "params:device"]
    return pipeline(
        [
            node(
                train_classifier_judge,
                ["images_train", *settings],
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
                    "latents_train",
                    "latents_test",
                    "latent_sampler",
                    "autoencoder",
                    "standard_vae",
                    "params:standard_vae",
                    "classifier",
                    "params:generation",
                    *settings,
                ],
                "evaluation_metrics",
                name="evaluate",
                tags="gpu",
            ),
        ]
    )

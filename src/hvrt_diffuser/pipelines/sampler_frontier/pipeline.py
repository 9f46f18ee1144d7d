"""``sampler_frontier``: samplers of latents side by side, at several strengths each."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.sampler_frontier.nodes import compare_samplers, plot_samplers

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images, latents and models to ``sampler_frontier`` and its picture."""
    return pipeline(
        [
            node(
                compare_samplers,
                [
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "autoencoder",
                    "classifier",
                    "params:hvrt_fitting",
                    "params:flow",
                    "params:latent_encoding",
                    "params:tstr",
                    "params:sampler_frontier",
                    "params:seed",
                    "params:device",
                    "frontier_checkpoint",
                ],
                "sampler_frontier",
                name="compare_samplers",
                tags="gpu",
            ),
            node(plot_samplers, "sampler_frontier", "samplers_plot", name="plot_samplers"),
        ]
    )

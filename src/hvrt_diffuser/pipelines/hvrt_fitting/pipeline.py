"""``hvrt_fitting``: the sampler of latents, and what its partition looks like."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.hvrt_fitting.nodes import describe_partition, fit, plot_partition

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images and latents to ``latent_sampler``."""
    return pipeline(
        [
            node(
                fit,
                [
                    "autoencoder",
                    "images_train",
                    "latents_train",
                    "latents_augmented",
                    "params:sampler",
                    "params:seed",
                    "sampler_checkpoint",
                ],
                "latent_sampler",
                name="fit_sampler",
                tags="gpu",
            ),
            node(
                describe_partition, "latent_sampler", "partition_table", name="describe_partition"
            ),
            node(plot_partition, "partition_table", "partition_plot", name="plot_partition"),
        ]
    )

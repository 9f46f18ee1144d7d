"""``tstr``: train on synthetic images, test on real ones."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.tstr.nodes import plot_tstr, train_synthetic_test_real

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images and models to ``tstr_metrics``."""
    return pipeline(
        [
            node(
                train_synthetic_test_real,
                [
                    "images_train",
                    "images_test",
                    "autoencoder",
                    "latent_sampler",
                    "low_beta_vae",
                    "params:low_beta_vae",
                    "params:tstr",
                    "params:seed",
                    "params:device",
                ],
                "tstr_metrics",
                name="train_synthetic_test_real",
                tags="gpu",
            ),
            node(plot_tstr, "tstr_metrics", "tstr_plot", name="plot_tstr"),
        ]
    )

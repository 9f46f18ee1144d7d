"""``tstr``: train on synthetic images, test on real ones."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.tstr.nodes import tabulate_tstr, train_synthetic_test_real

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images and models to ``tstr_predictions``, ``tstr_metrics`` and a picture."""
    return pipeline(
        [
            node(
                train_synthetic_test_real,
                [
                    "images_train",
                    "images_test",
                    "latent_sampler",
                    "low_beta_vae",
                    "params:tstr_task",
                    "tstr_checkpoint",
                    "tstr_generators",
                ],
                "tstr_predictions",
                name="train_synthetic_test_real",
                tags="gpu",
            ),
            node(
                tabulate_tstr,
                ["tstr_predictions", "images_train", "images_test", "params:tstr_task"],
                ["tstr_metrics", "tstr_plot"],
                name="tabulate_tstr",
            ),
        ]
    )

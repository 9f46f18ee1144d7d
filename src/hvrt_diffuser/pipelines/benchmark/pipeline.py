"""``benchmark``: HVRT beside what others use."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.benchmark.nodes import compare_rivals, plot_comparison

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images, latents and models to ``benchmark`` and its picture."""
    return pipeline(
        [
            node(
                compare_rivals,
                [
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "autoencoder",
                    "classifier",
                    "params:hvrt_fitting",
                    "params:flow",
                    "params:tstr",
                    "params:benchmark",
                    "params:seed",
                    "params:device",
                    "benchmark_checkpoint",
                ],
                "benchmark",
                name="compare_rivals",
                tags="gpu",
            ),
            node(plot_comparison, "benchmark", "benchmark_plot", name="plot_rivals"),
        ]
    )

"""``benchmark``: HVRT beside what others use."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.benchmark.nodes import (
    compare_rivals,
    compare_times,
    plot_comparison,
    tabulate_rivals,
    tune_rivals,
)

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images, latents and models to ``benchmark``, its picture and ``benchmark_times``."""
    return pipeline(
        [
            node(
                tune_rivals,
                [
                    "images_train",
                    "latents_train",
                    "autoencoder",
                    "classifier",
                    "params:ae_training",
                    "params:hvrt_fitting",
                    "params:flow",
                    "params:benchmark",
                    "params:seed",
                    "params:device",
                    "benchmark_entries",
                    "sweep_autoencoders",
                ],
                "benchmark_tuning",
                name="tune_rivals",
                tags="gpu",
            ),
            node(
                compare_rivals,
                [
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "autoencoder",
                    "classifier",
                    "params:ae_training",
                    "params:hvrt_fitting",
                    "params:flow",
                    "params:tstr",
                    "params:benchmark",
                    "params:seed",
                    "params:device",
                    "benchmark_entries",
                    "sweep_autoencoders",
                    "benchmark_models",
                    "benchmark_tuning",
                ],
                "benchmark",
                name="compare_rivals",
                tags="gpu",
            ),
            node(
                compare_times,
                [
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "autoencoder",
                    "classifier",
                    "params:hvrt_fitting",
                    "params:benchmark",
                    "params:seed",
                    "params:device",
                ],
                "benchmark_times",
                name="compare_times",
                tags="gpu",
            ),
            node(tabulate_rivals, "benchmark", "benchmark_table", name="tabulate_rivals"),
            node(plot_comparison, "benchmark", "benchmark_plot", name="plot_rivals"),
        ]
    )

"""``balance`` and ``shots``: where synthetic images could help, set beside simpler remedies."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.utility.nodes import (
    compare_remedies,
    measure_shots,
    plot_balance,
    plot_shots,
)

__all__ = ["create_balance", "create_shots"]


def create_balance() -> Pipeline:
    """From images and models to ``balance_metrics`` and a picture."""
    return pipeline(
        [
            node(
                compare_remedies,
                [
                    "images_train",
                    "images_test",
                    "latent_sampler",
                    "params:balance_task",
                    "balance_checkpoint",
                    "balance_generator",
                ],
                "balance_metrics",
                name="compare_remedies",
                tags="gpu",
            ),
            node(plot_balance, "balance_metrics", "balance_plot", name="plot_balance"),
        ]
    )


def create_shots() -> Pipeline:
    """From images to ``shots_metrics`` and a picture."""
    return pipeline(
        [
            node(
                measure_shots,
                [
                    "images_train",
                    "images_test",
                    "params:shots_task",
                    "shots_checkpoint",
                    "shots_generators",
                ],
                "shots_metrics",
                name="measure_shots",
                tags="gpu",
            ),
            node(plot_shots, "shots_metrics", "shots_plot", name="plot_shots"),
        ]
    )

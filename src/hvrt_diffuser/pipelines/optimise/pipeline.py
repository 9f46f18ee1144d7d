"""``optimise``: parameters of the autoencoder and of the sampler, searched jointly."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.optimise.nodes import plot_best, search_jointly

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images and the judge to ``optimise_table`` and its picture."""
    return pipeline(
        [
            node(
                search_jointly,
                [
                    "images_train",
                    "images_test",
                    "classifier",
                    "params:ae_training",
                    "params:hvrt_fitting",
                    "params:tstr",
                    "params:hpo",
                    "params:optimise",
                    "params:seed",
                    "params:device",
                    "sweep_autoencoders",
                    "sweep_database",
                ],
                "optimise_table",
                name="search_jointly",
                tags="gpu",
            ),
            node(plot_best, "optimise_table", "optimise_plot", name="plot_best"),
        ]
    )

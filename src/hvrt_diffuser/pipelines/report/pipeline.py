"""``report``: a page that anyone can read, and the same as JSON."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.report.nodes import write_report

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From everything that was made and measured to ``report_page`` and ``report_metrics``."""
    return pipeline(
        [
            node(
                write_report,
                [
                    "synthetic_images",
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "latent_sampler",
                    "autoencoder",
                    "training_history",
                    "evaluation_metrics",
                    "tstr_metrics",
                    "stages",
                    "parameters",
                ],
                [
                    "report_page",
                    "report_metrics",
                    "real_grid",
                    "reconstruction_grid",
                    "synthetic_grid",
                    "nearest_images",
                    "frontier_plot",
                    "fd_plot",
                    "marginals_plot",
                ],
                name="write_report",
            )
        ]
    )

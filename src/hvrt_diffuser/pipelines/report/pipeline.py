"""``report``: a page that anyone can read, and the same as JSON."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.report.nodes import compose_report, draw, write_page

__all__ = ["create_pipeline"]

IMAGES = ["synthetic_images", "images_train", "images_test"]


def create_pipeline() -> Pipeline:
    """From everything that was made and measured to ``report_page`` and ``report_metrics``."""
    return pipeline(
        [
            node(
                compose_report,
                [
                    *IMAGES[:2],
                    "evaluation_metrics",
                    "tstr_metrics",
                    "data_look",
                    "stages",
                    "parameters",
                ],
                "report_metrics",
                name="compose_report",
            ),
            node(
                draw,
                [*IMAGES, "latent_sampler", "evaluation_metrics", "params:seed", "params:device"],
                [
                    "pictures",
                    "real_grid",
                    "reconstruction_grid",
                    "synthetic_grid",
                    "nearest_images",
                    "frontier_plot",
                    "fd_plot",
                    "marginals_plot",
                ],
                name="draw_pictures",
            ),
            node(
                write_page,
                ["report_metrics", "pictures", "training_history", "tstr_metrics"],
                "report_page",
                name="write_page",
            ),
        ]
    )

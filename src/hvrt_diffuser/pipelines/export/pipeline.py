"""``export``: the synthetic images as others open them, with a card beside them."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.export.nodes import export

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From ``synthetic_images`` and ``report_metrics`` to ``exported_dataset``."""
    return pipeline(
        [
            node(
                export,
                [
                    "synthetic_images",
                    "added_images",
                    "images_train",
                    "report_metrics",
                    "params:export",
                ],
                "exported_dataset",
                name="export",
            )
        ]
    )

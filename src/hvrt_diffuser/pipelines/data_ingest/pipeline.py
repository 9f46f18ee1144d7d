"""``data_ingest``: real images, checked, split and stored."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.data_ingest.nodes import split_images

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From ``raw_images`` to ``images_train``, ``images_test`` and ``data_look``."""
    return pipeline(
        [
            node(
                split_images,
                ["raw_images", "params:dataset", "params:seed"],
                ["images_train", "images_test", "data_look"],
                name="split_images",
            )
        ]
    )

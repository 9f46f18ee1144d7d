"""``generation``: labelled synthetic images, in one pass."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.generation.nodes import add, generate, plot_grid

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From ``latent_sampler`` to ``synthetic_images``, ``added_images`` and a picture."""
    inputs = ["latent_sampler", "images_test", "params:generation", "params:seed"]
    added = ["latent_sampler", "images_train", "params:generation", "params:seed"]
    return pipeline(
        [
            node(generate, inputs, "synthetic_images", name="generate_images", tags="gpu"),
            node(add, added, "added_images", name="add_images", tags="gpu"),
            node(plot_grid, inputs, "sample_grid", name="plot_grid", tags="gpu"),
        ]
    )

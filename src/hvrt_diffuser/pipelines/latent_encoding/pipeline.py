"""``latent_encoding``: the latents of the real images."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.latent_encoding.nodes import encode

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images to ``latents_train`` and ``latents_test``."""
    return pipeline(
        [
            node(
                encode,
                ["autoencoder", f"images_{split}", "params:latent_encoding", "params:device"],
                f"latents_{split}",
                name=f"encode_{split}",
                tags="gpu",
            )
            for split in ("train", "test")
        ]
    )

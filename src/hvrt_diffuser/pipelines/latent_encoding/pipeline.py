"""``latent_encoding``: the latents of the real images."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.latent_encoding.nodes import encode, encode_changed

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """From images to ``latents_train``, ``latents_test`` and ``latents_augmented``."""
    return pipeline(
        [
            node(
                encode,
                ["autoencoder", f"images_{split}", "params:latent_encoding"],
                f"latents_{split}",
                name=f"encode_{split}",
                tags="gpu",
            )
            for split in ("train", "test")
        ]
        + [
            node(
                encode_changed,
                [
                    "autoencoder",
                    "images_train",
                    "params:latent_encoding",
                    "params:seed",
                ],
                "latents_augmented",
                name="encode_augmented",
                tags="gpu",
            )
        ]
    )

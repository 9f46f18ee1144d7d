"""The pipeline ``latent_encoding``."""

from hvrt_diffuser.pipelines.latent_encoding.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``generation``."""

from hvrt_diffuser.pipelines.generation.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``export``."""

from hvrt_diffuser.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]

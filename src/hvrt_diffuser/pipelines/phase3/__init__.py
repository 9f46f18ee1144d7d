"""The pipeline ``phase3``."""

from hvrt_diffuser.pipelines.phase3.pipeline import create_pipeline

__all__ = ["create_pipeline"]

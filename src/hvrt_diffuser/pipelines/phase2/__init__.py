"""The pipeline ``phase2``."""

from hvrt_diffuser.pipelines.phase2.pipeline import create_pipeline

__all__ = ["create_pipeline"]

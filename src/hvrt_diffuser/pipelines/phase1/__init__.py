"""The pipeline ``phase1``."""

from hvrt_diffuser.pipelines.phase1.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``tstr``."""

from hvrt_diffuser.pipelines.tstr.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``optimise``."""

from hvrt_diffuser.pipelines.optimise.pipeline import create_pipeline

__all__ = ["create_pipeline"]

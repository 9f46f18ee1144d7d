"""The pipeline ``benchmark``."""

from hvrt_diffuser.pipelines.benchmark.pipeline import create_pipeline

__all__ = ["create_pipeline"]

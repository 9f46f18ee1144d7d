"""The pipeline ``report``."""

from hvrt_diffuser.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]

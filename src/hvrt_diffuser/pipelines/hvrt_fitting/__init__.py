"""The pipeline ``hvrt_fitting``."""

from hvrt_diffuser.pipelines.hvrt_fitting.pipeline import create_pipeline

__all__ = ["create_pipeline"]

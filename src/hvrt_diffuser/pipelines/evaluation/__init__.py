"""The pipeline ``evaluation``."""

from hvrt_diffuser.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``hpo``."""

from hvrt_diffuser.pipelines.hpo.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""The pipeline ``data_ingest``."""

from hvrt_diffuser.pipelines.data_ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]

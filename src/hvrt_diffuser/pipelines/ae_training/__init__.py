"""The pipeline ``ae_training``."""

from hvrt_diffuser.pipelines.ae_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]

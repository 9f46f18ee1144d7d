"""The pipeline ``sampler_frontier``."""

from hvrt_diffuser.pipelines.sampler_frontier.pipeline import create_pipeline

__all__ = ["create_pipeline"]

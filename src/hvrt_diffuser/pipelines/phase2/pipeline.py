"""``phase2``: one partition of the latents, or several that draws are divided among."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from hvrt_diffuser.pipelines.hpo.pipeline import create_sweep

__all__ = ["create_pipeline"]


def create_pipeline() -> Pipeline:
    """A sweep like those of ``hpo``, over what makes an ensemble."""
    return create_sweep("phase2.ensemble", "phase2")

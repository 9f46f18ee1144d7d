"""The pipelines by name."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

__all__ = ["register_pipelines"]

STAGES = (
    "data_ingest",
    "ae_training",
    "latent_encoding",
    "hvrt_fitting",
    "generation",
    "evaluation",
    "tstr",
    "report",
    "export",
)


def register_pipelines() -> dict[str, Pipeline]:
    """Each stage alone, and all of them as ``__default__``."""
    stages: dict[str, Pipeline] = {
        name: import_module(f"hvrt_diffuser.pipelines.{name}").create_pipeline() for name in STAGES
    }
    return {"__default__": sum(stages.values(), Pipeline([])), **stages}

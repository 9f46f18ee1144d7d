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
# Asked for by name alone.
EXPERIMENTS = ("sampler_frontier", "phase1", "phase2", "phase3", "hpo", "optimise", "benchmark")


def register_pipelines() -> dict[str, Pipeline]:
    """Each stage alone, all of them as ``__default__``, and the experiments."""
    found: dict[str, Pipeline] = {
        name: import_module(f"hvrt_diffuser.pipelines.{name}").create_pipeline()
        for name in (*STAGES, *EXPERIMENTS)
    }
    return {"__default__": sum((found[name] for name in STAGES), Pipeline([])), **found}

"""The pipelines by name."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

from hvrt_diffuser.pipelines.experiments.pipeline import EXPERIMENTS, create_experiment
from hvrt_diffuser.pipelines.utility.pipeline import create_balance, create_shots

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
    """Each stage alone, all of them as ``__default__``, and the experiments."""
    found: dict[str, Pipeline] = {
        name: import_module(f"hvrt_diffuser.pipelines.{name}.pipeline").create_pipeline()
        for name in STAGES
    }
    experiments = {name: create_experiment(name) for name in EXPERIMENTS}  # asked for by name alone
    experiments |= {"balance": create_balance(), "shots": create_shots()}
    return {"__default__": sum(found.values(), Pipeline([])), **found, **experiments}

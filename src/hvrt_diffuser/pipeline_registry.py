"""The pipelines by name."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

from hvrt_diffuser.pipelines.experiments.pipeline import (
    EXPERIMENTS,
    create_experiment,
    create_likelihoods,
)
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
    found = {
        name: _grouped(
            name, import_module(f"hvrt_diffuser.pipelines.{name}.pipeline").create_pipeline()
        )
        for name in STAGES
    }
    experiments = {name: create_experiment(name) for name in EXPERIMENTS}  # asked for by name alone
    experiments |= {
        "dvp_vae": create_likelihoods(),
        "balance": create_balance(),
        "shots": create_shots(),
    }
    return {"__default__": sum(found.values(), Pipeline([])), **found, **experiments}


def _grouped(name: str, stage: Pipeline) -> Pipeline:
    """A stage whose nodes are ``name.node``: kedro-viz shows them as one box until it is opened.

    Datasets and parameters keep their names. The baselines are groups already.
    """
    grouped = [node for node in stage.nodes if node.namespace]
    own = Pipeline(
        [node for node in stage.nodes if not node.namespace],
        namespace=name,
        prefix_datasets_with_namespace=False,
    )
    return own + Pipeline(grouped)

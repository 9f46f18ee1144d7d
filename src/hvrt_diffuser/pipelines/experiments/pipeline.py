"""One factory for the pipelines of all experiments."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.experiments.nodes import (
    collect_sweeps,
    draw_bounds,
    draw_picture,
    measure_jobs,
    measure_likelihoods,
    measure_sweep,
    show_images,
    tabulate_rows,
)
from hvrt_diffuser.pipelines.experiments.parameters import LIKELIHOODS, SWEEPS

__all__ = ["EXPERIMENTS", "create_experiment", "create_likelihoods"]

# By name, the picture and the dataset that it becomes.
EXPERIMENTS = {
    "sampler_frontier": ("frontier", "samplers_plot"),
    "benchmark": ("rivals", "benchmark_plot"),
    "variants": ("sweep", "variants_plot"),
    "phase1": ("sweep", "models_plot"),
    "phase2": ("sweep", "phase2_ensemble_sweep_plot"),
    "phase3": ("sweep", "generators_plot"),
    "hpo": ("sweep", ""),
    "optimise": ("sweep", "optimise_plot"),
}
# Where it is not called after the experiment, with _table.
TABLES = {
    "sampler_frontier": "sampler_frontier",
    "benchmark": "benchmark",
    "phase2": "phase2_ensemble_sweep",
}
MODELS = ("images_train", "images_test", "autoencoder", "classifier")


def create_experiment(name: str) -> Pipeline:
    """From images, the autoencoder and the judge to the table and the picture of an experiment.

    Args:
        name: of :data:`EXPERIMENTS`, and of the block of parameters.
    """
    if name == "hpo":
        sweeps = sum((_sweep(name, group) for group in SWEEPS), pipeline([]))
        tables = [f"hpo_{group}_sweep" for group in SWEEPS]
        collect = node(
            _named(collect_sweeps, names=SWEEPS), tables, "hpo_table", name="collect_sweeps"
        )
        return sweeps + pipeline([collect])
    kind, picture = EXPERIMENTS[name]
    table = TABLES.get(name, f"{name}_table")
    nodes = _measured(name, _named(measure_jobs, name=name), table, picture, kind)
    if name == "benchmark":
        nodes.append(node(tabulate_rows, table, "benchmark_table", name="tabulate_benchmark"))
    return pipeline(nodes)


def create_likelihoods() -> Pipeline:
    """From images alone to the bounds of DVP-VAEs, and two pictures."""
    name = LIKELIHOODS
    inputs = ["images_train", "images_test", f"params:{name}", "params:base", "experiments"]
    table = f"{name}_table"
    return pipeline(
        [
            node(measure_likelihoods, inputs, table, name=f"measure_{name}", tags="gpu"),
            node(draw_bounds, table, f"{name}_plot", name=f"plot_{name}"),
            node(show_images, [*inputs, table], f"{name}_grid", name=f"show_{name}"),
        ]
    )


def _sweep(name: str, group: str) -> Pipeline:
    """One sweep, in a namespace of its own, which ``--namespaces hpo.beta`` selects."""
    function = _named(measure_sweep, name=name, group=group)
    nodes = _measured(name, function, "sweep", "sweep_plot", "sweep")
    parameters = {f"params:{each}" for each in (name, "base")}
    return pipeline(
        nodes,
        inputs={*MODELS, "experiments"},
        outputs={each: f"{name}_{group}_{each}" for each in ("sweep", "sweep_plot")},
        parameters=parameters,
        namespace=f"{name}.{group}",
    )


def _measured(name: str, function: Any, table: str, picture: str, kind: str) -> list[Any]:
    return [
        node(
            function,
            [*MODELS, f"params:{name}", "params:base", "experiments"],
            table,
            name=f"measure_{name}",
            tags="gpu",
        ),
        node(_named(draw_picture, kind=kind), table, picture, name=f"plot_{name}"),
    ]


def _named(function: Any, **arguments: Any) -> Any:
    """A function with some of its arguments, which keeps its name and its docstring."""
    return update_wrapper(partial(function, **arguments), function)

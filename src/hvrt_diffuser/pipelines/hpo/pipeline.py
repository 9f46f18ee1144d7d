"""``hpo``: sweeps over parameters of the autoencoder and of the sampler."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.hpo.nodes import collect_sweeps, plot_points, run_sweep
from hvrt_diffuser.pipelines.hpo.parameters import SWEEPS

__all__ = ["create_pipeline", "create_sweep"]

SHARED = ("ae_training", "hvrt_fitting", "tstr", "hpo", "seed", "device")
MODELS = ("images_train", "images_test", "classifier", "sweep_autoencoders", "sweep_database")


def create_sweep(namespace: str, axes: str) -> Pipeline:
    """From images and the judge to the table and the picture of a sweep.

    Args:
        namespace: of its nodes, and in the names of its outputs: ``hpo.beta`` makes
            ``hpo_beta_sweep`` and ``hpo_beta_sweep_plot``.
        axes: the parameter that holds its values.
    """
    sweep = pipeline(
        [
            node(
                run_sweep,
                [
                    "images_train",
                    "images_test",
                    "classifier",
                    "params:ae_training",
                    "params:hvrt_fitting",
                    "params:tstr",
                    "params:hpo",
                    "params:axes",
                    "params:seed",
                    "params:device",
                    "sweep_autoencoders",
                    "sweep_database",
                ],
                "sweep",
                name="run_sweep",
                tags="gpu",
            ),
            node(plot_points, "sweep", "sweep_plot", name="plot_sweep"),
        ]
    )
    flat = namespace.replace(".", "_")
    return pipeline(
        sweep,
        inputs=set(MODELS),
        outputs={name: f"{flat}_{name}" for name in ("sweep", "sweep_plot")},
        parameters={f"params:{name}": f"params:{name}" for name in SHARED}
        | {"params:axes": f"params:{axes}"},
        namespace=namespace,
    )


def create_pipeline() -> Pipeline:
    """From images and the judge to a table and a picture of each sweep, and ``hpo_table``."""
    sweeps = sum(
        (create_sweep(f"hpo.{name}", f"hpo.sweeps.{name}") for name in SWEEPS), pipeline([])
    )
    tables = [f"hpo_{name}_sweep" for name in SWEEPS]
    return sweeps + pipeline([node(collect_sweeps, tables, "hpo_table", name="collect_sweeps")])

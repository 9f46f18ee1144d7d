"""``hpo``: sweeps over parameters of the autoencoder and of the sampler."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.hpo.nodes import collect_sweeps, plot_points, run_sweep
from hvrt_diffuser.pipelines.hpo.parameters import SWEEPS

__all__ = ["create_pipeline"]

SHARED = (
    "ae_training",
    "hvrt_fitting",
    "tstr",
    "hpo",
    "seed",
    "device",
)
MODELS = ("images_train", "images_test", "classifier", "sweep_autoencoders", "sweep_database")


def create_pipeline() -> Pipeline:
    """From images and the judge to a table and a picture of each sweep, and ``hpo_table``."""
    one = pipeline(
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
    sweeps = sum(
        (
            pipeline(
                one,
                inputs=set(MODELS),
                parameters={f"params:{name}": f"params:{name}" for name in SHARED}
                | {"params:axes": f"params:hpo.sweeps.{name}"},
                namespace=f"hpo.{name}",
            )
            for name in SWEEPS
        ),
        pipeline([]),
    )
    tables = [f"hpo.{name}.sweep" for name in SWEEPS]
    return sweeps + pipeline([node(collect_sweeps, tables, "hpo_table", name="collect_sweeps")])

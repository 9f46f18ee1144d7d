"""``ae_training``: the autoencoder, and the two VAEs that it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.ae_training.nodes import plot_training_curves, train, train_vae

__all__ = ["create_pipeline"]

BASELINES = ("standard_vae", "low_beta_vae")


def create_pipeline() -> Pipeline:
    """From ``images_train`` to ``autoencoder``, and in a namespace each to the baselines."""
    baselines = (
        pipeline(
            _training(train_vae, ["params:baseline"]),
            inputs="images_train",
            outputs={"autoencoder": name},
            parameters={
                "params:ae_training": "params:ae_training",
                "params:seed": "params:seed",
                "params:baseline": f"params:{name}",
            },
            namespace=name,
            tags="baseline",
        )
        for name in BASELINES
    )
    return sum(baselines, _training(train, []))


def _training(function: Callable[..., Any], more: list[str]) -> Pipeline:
    inputs = ["images_train", "params:ae_training", *more, "params:seed", "autoencoder_checkpoint"]
    return pipeline(
        [
            node(
                function,
                inputs,
                ["autoencoder", "training_history"],
                name="train_autoencoder",
                tags="gpu",
            ),
            node(
                plot_training_curves,
                "training_history",
                "training_curves",
                name="plot_training_curves",
            ),
        ]
    )

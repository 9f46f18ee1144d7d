"""``ae_training``: the autoencoder, and the two VAEs that it is compared with."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines.ae_training.nodes import plot_training_curves, train

__all__ = ["create_pipeline"]

BASELINES = ("standard_vae", "low_beta_vae")


def create_pipeline() -> Pipeline:
    """From ``images_train`` to ``autoencoder``, and in a namespace each to the baselines."""
    training = pipeline(
        [
            node(
                train,
                [
                    "images_train",
                    "params:ae_training",
                    "params:ae_training.beta",
                    "params:seed",
                    "params:device",
                    "autoencoder_checkpoint",
                ],
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
    shared = {"params:ae_training", "params:seed", "params:device"}
    return training + sum(
        (
            pipeline(
                training,
                inputs="images_train",
                outputs={"autoencoder": baseline},
                parameters={name: name for name in shared}
                | {"params:ae_training.beta": f"params:{baseline}.beta"},
                namespace=baseline,
                tags="baseline",
            )
            for baseline in BASELINES
        ),
        pipeline([]),
    )

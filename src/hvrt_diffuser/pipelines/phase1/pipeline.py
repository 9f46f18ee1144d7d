"""``phase1``: the autoencoder and two VAEs, each with HVRT and with what a VAE draws from."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines import hvrt_fitting, latent_encoding
from hvrt_diffuser.pipelines.phase1.nodes import collect_models, measure_model, plot_models

__all__ = ["create_pipeline"]

MODELS = {
    "autoencoder": "ae_training",
    "low_beta_vae": "low_beta_vae",
    "standard_vae": "standard_vae",
}
SHARED = ("latent_encoding", "generation.sampler", "hvrt_fitting", "flow", "tstr", "phase1")


def create_pipeline() -> Pipeline:
    """From images, models and the judge to ``phase1_table`` and its picture."""
    encode = latent_encoding.create_pipeline()
    fit = hvrt_fitting.create_pipeline().to_outputs("latent_sampler")
    measure = node(
        measure_model,
        [
            "images_train",
            "images_test",
            "latents_train",
            "latents_test",
            "latent_sampler",
            "autoencoder",
            "params:beta",
            "classifier",
            "params:tstr",
            "params:phase1",
            "params:seed",
            "params:device",
        ],
        "rows",
        name="measure_model",
        tags="gpu",
    )
    one = encode + fit + pipeline([measure])
    shared = {f"params:{name}": f"params:{name}" for name in (*SHARED, "seed", "device")}
    models = sum(
        (
            pipeline(
                one,
                inputs={
                    "autoencoder": model,
                    **{name: name for name in ("images_train", "images_test", "classifier")},
                },
                outputs={"rows": f"phase1_{model}_rows"},
                parameters={**shared, "params:beta": f"params:{block}.beta"},
                namespace=f"phase1.{model}",
            )
            for model, block in MODELS.items()
        ),
        pipeline([]),
    )
    return models + pipeline(
        [
            node(
                collect_models,
                [f"phase1_{model}_rows" for model in MODELS],
                "phase1_table",
                name="collect_models",
            ),
            node(plot_models, "phase1_table", "models_plot", name="plot_models"),
        ]
    )

"""``phase3``: draws of given classes, and a generator that goes on from one of fewer images."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.pipelines import ae_training, hvrt_fitting, latent_encoding
from hvrt_diffuser.pipelines.phase3.nodes import (
    collect_generators,
    fine_tune,
    measure_generator,
    plot_generators,
    refit,
    take_known,
)

__all__ = ["create_pipeline"]

GENERATORS = ("known", "warm", "cold")
REAL = ("images_train", "images_test", "classifier")


def create_pipeline() -> Pipeline:
    """From images, models and the judge to ``phase3_table`` and its picture.

    ``known`` is trained and fitted on a share of the images; ``warm`` is fine-tuned and refitted on
    all of them; ``cold`` is what the run trained and fitted on all of them at once.
    """
    encode = latent_encoding.create_pipeline()
    train = ae_training.create_pipeline().only_nodes("train_autoencoder")
    fit = hvrt_fitting.create_pipeline().to_outputs("latent_sampler")
    measure = pipeline(
        [
            node(
                measure_generator,
                [
                    "images_train",
                    "images_test",
                    "latents_train",
                    "latents_test",
                    "autoencoder",
                    "latent_sampler",
                    "classifier",
                    "params:tstr",
                    "params:phase3",
                    "params:seed",
                    "params:device",
                ],
                "rows",
                name="measure_generator",
                tags="gpu",
            )
        ]
    )
    take = node(
        take_known,
        ["images_train", "params:phase3", "params:seed"],
        "phase3.known.images_train",
        name="phase3.take_known",
    )
    tune = node(
        fine_tune,
        [
            "images_train",
            "phase3.known.autoencoder",
            "params:ae_training",
            "params:phase3",
            "params:seed",
            "params:device",
            "autoencoder_checkpoint",
        ],
        "autoencoder",
        name="fine_tune",
        tags="gpu",
    )
    go_on = node(
        refit,
        ["latents_train", "phase3.known.latent_sampler", "params:hvrt_fitting", "params:seed"],
        "latent_sampler",
        name="refit_sampler",
    )
    known = _named("known", train + encode + fit + measure, {"images_test", "classifier"})
    warm = _named(
        "warm",
        pipeline([tune, go_on]) + encode.only_nodes("encode_train", "encode_test") + measure,
        {*REAL, "phase3.known.autoencoder", "phase3.known.latent_sampler"},
    )
    cold = _named(
        "cold",
        measure,
        {*REAL, "autoencoder", "latent_sampler", "latents_train", "latents_test"},
    )
    tables = [f"phase3.{name}.rows" for name in GENERATORS]
    last = [
        node(collect_generators, tables, "phase3_table", name="collect_generators"),
        node(plot_generators, "phase3_table", "generators_plot", name="plot_generators"),
    ]
    return pipeline([take]) + known + warm + cold + pipeline(last)


def _named(name: str, stages: Pipeline, inputs: set[str]) -> Pipeline:
    """Stages in a namespace, but for some inputs and all parameters."""
    used = {found for found in stages.inputs() if found.startswith("params:")}
    return pipeline(
        stages,
        inputs=inputs,
        parameters=used,
        namespace=f"phase3.{name}",
    )

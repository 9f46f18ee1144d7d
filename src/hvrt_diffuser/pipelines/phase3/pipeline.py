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
        "phase3_known_images",
        name="take_known",
    )
    tune = node(
        fine_tune,
        [
            "images_train",
            "phase3_known_autoencoder",
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
        ["latents_train", "phase3_known_sampler", "params:hvrt_fitting", "params:seed"],
        "latent_sampler",
        name="refit_sampler",
    )
    known = _named(
        "known",
        train + encode + fit + measure,
        {"images_train": "phase3_known_images", **_same("images_test", "classifier")},
        {"autoencoder": "phase3_known_autoencoder", "latent_sampler": "phase3_known_sampler"},
    )
    warm = _named(
        "warm",
        pipeline([tune, go_on]) + encode.only_nodes("encode_train", "encode_test") + measure,
        _same(*REAL, "phase3_known_autoencoder", "phase3_known_sampler"),
    )
    trained = ("autoencoder", "latent_sampler", "latents_train", "latents_test")
    cold = _named("cold", measure, _same(*REAL, *trained))
    tables = [f"phase3_{name}_rows" for name in GENERATORS]
    last = [
        node(collect_generators, tables, "phase3_table", name="collect_generators"),
        node(plot_generators, "phase3_table", "generators_plot", name="plot_generators"),
    ]
    return pipeline([take]) + known + warm + cold + pipeline(last)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _named(
    name: str, stages: Pipeline, inputs: dict[str, str], outputs: dict[str, str] | None = None
) -> Pipeline:
    """Stages in a namespace, but for some inputs and outputs and for all parameters."""
    return pipeline(
        stages,
        inputs=inputs,
        outputs={"rows": f"phase3_{name}_rows", **(outputs or {})},
        parameters={found for found in stages.inputs() if found.startswith("params:")},
        namespace=f"phase3.{name}",
    )

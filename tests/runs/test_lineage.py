"""Nothing stale, nothing ignored: artefacts carry what made them, and parameters are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.files import made_by, read_made_by
from hvrt_diffuser.data.images import LabelledImages

STALE = {
    # what is asked for, of which pipelines: the artefact, the parameter and what to run
    "another sampler": (
        "generation",
        "generation.sampler=flow_map",
        ("latent_sampler", "generation.sampler=hvrt", "flow_map", "run hvrt_fitting again"),
    ),
    "another kernel": (
        "generation",
        "samplers.hvrt.noise_scale=0.5",
        ("latent_sampler", "samplers.hvrt.noise_scale=1.0", "0.5"),
    ),
    "another seed": ("hvrt_fitting", "seed=1", ("seed=0", "asks for 1")),
    "other rows": (
        "tstr",
        "generation.sampler=mixture",
        ("latent_sampler", "generation.sampler=hvrt", "mixture"),
    ),
    "fewer images": (
        "evaluation",
        "generation.class_id=3",
        ("synthetic_images", "generation.class_id=null", "run generation again"),
    ),
}
UNREAD = {
    "of another stage": (
        "generation",
        "tstr.seeds=3",
        ("tstr.seeds", "run tstr as well"),
    ),
    "of a sampler that is not chosen": (
        "hvrt_fitting,generation",
        "samplers.mixture.components=3",
        ("samplers.mixture.components", "generation.sampler is hvrt"),
    ),
    "of an experiment": ("__default__", "hpo.seeds=2", ("hpo.seeds", "hpo")),
}


@pytest.mark.parametrize("case", STALE)
def test_what_lies_on_disk_is_not_what_is_asked_for(
    finished_copy: Any, kedro_here: Any, sentence: Any, case: str
) -> None:
    stages, given, named = STALE[case]
    before = finished_copy.hashes()
    arguments = ("run", "--env", "test", "--pipelines", stages, "--params", given)
    said = sentence(kedro_here(finished_copy, *arguments, check=False))
    assert all(word in said for word in named), said
    assert finished_copy.hashes() == before


@pytest.mark.parametrize("stage", ["ae_training", "latent_encoding"])
def test_training_images_of_another_folder_are_told_though_no_test_images_are_read(
    finished_copy: Any, kedro_here: Any, sentence: Any, stage: str
) -> None:
    path = finished_copy.file("03_primary", "images_train.safetensors")
    own = LabelledImages.load(path)
    known = read_made_by(path)
    assert known is not None
    with made_by({**known, "files": {**known["files"], "raw_images": "other digits"}}):
        own[torch.arange(len(own)).flip(0)].save(path)
    arguments = ("run", "--env", "test", "--pipelines", stage)
    said = sentence(kedro_here(finished_copy, *arguments, check=False))
    assert "was made of another" in said
    assert "run data_ingest again" in said or "run ae_training again" in said


@pytest.mark.parametrize("case", UNREAD)
def test_a_parameter_that_nothing_reads(
    finished_copy: Any, kedro_here: Any, sentence: Any, case: str
) -> None:
    stages, given, named = UNREAD[case]
    before = finished_copy.hashes()
    arguments = ("run", "--env", "test", "--pipelines", stages, "--params", given)
    said = sentence(kedro_here(finished_copy, *arguments, check=False))
    assert "no node of this run reads it" in said or "nothing that this run does reads it" in said
    assert all(word in said for word in named), said
    assert finished_copy.hashes() == before


def test_a_changed_file_of_parameters_is_found_as_well(
    finished_copy: Any, kedro_here: Any, sentence: Any
) -> None:
    path = finished_copy.path / "conf" / "test" / "parameters.yml"
    path.write_text(path.read_text().replace("latent_dim: 8", "latent_dim: 9"))
    arguments = ("run", "--env", "test", "--pipelines", "hvrt_fitting")
    said = sentence(kedro_here(finished_copy, *arguments, check=False))
    assert "ae_training.latent_dim=8" in said
    assert "asks for 9" in said


@pytest.mark.slow
def test_what_is_made_again_is_taken(finished_copy: Any, kedro_here: Any) -> None:
    arguments = ("run", "--env", "test", "--pipelines", "hvrt_fitting,generation", "--params")
    kedro_here(
        finished_copy, *arguments, "generation.sampler=mixture,samplers.mixture.components=1"
    )
    alone = ("run", "--env", "test", "--pipelines", "generation", "--params")
    kedro_here(finished_copy, *alone, "generation.sampler=mixture,samplers.mixture.components=1")


def test_a_device_and_a_place_do_not_matter(finished_copy: Any, kedro_here: Any) -> None:
    arguments = ("run", "--env", "test", "--pipelines", "generation", "--params")
    kedro_here(finished_copy, *arguments, "device=auto")


def test_metrics_say_what_they_were_made_with(finished: Any) -> None:
    made_by = json.loads(finished.file("08_reporting", "evaluation.json").read_text())["made_by"]
    found = made_by["parameters"]
    assert found["generation.sampler"] == "hvrt"
    assert found["ae_training.latent_dim"] == 8  # of what it was made of
    assert found["evaluation.judge.steps"] == 60
    assert found["seed"] == 0
    assert not any(name.endswith("device") for name in found)


def test_a_file_that_says_nothing_is_taken(finished_copy: Any, kedro_here: Any) -> None:
    """As one from elsewhere, such as a model of a committed record."""
    from hvrt_diffuser.autoencoders import Autoencoder

    path = finished_copy.file("06_models", "autoencoder.safetensors")
    Autoencoder.load(path).save(path)
    kedro_here(finished_copy, "run", "--env", "test", "--pipelines", "latent_encoding")

"""Everything that is registered draws images, is evaluated and exported by its name alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

import hvrt_diffuser.diffuser  # noqa: F401  # registers all of them
from hvrt_diffuser.common.registry import SAMPLERS

STAGES = "hvrt_fitting,generation,evaluation,report,export"
QUICK = ("gaussian",)  # others are left to make test-all
OF_VAES = "posterior"


def choose(project: Any, run: Any, name: str, check: bool = True) -> Any:
    """Fit what is called so in a finished run, and go on to its export."""
    project.file("08_reporting", "tstr.json").unlink()  # it is of the sampler before
    chosen = ("--params", f"generation.sampler={name}", "--pipelines", STAGES)
    part = ("--from-nodes", "hvrt_fitting.fit_sampler", "--to-outputs", "exported_dataset")
    return run(project, "run", "--env", "test", *chosen, *part, check=check)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in SAMPLERS.own_names()
        if name != OF_VAES
    ],
)
def test_is_generated_from_evaluated_and_exported(
    finished_copy: Any, kedro_here: Any, name: str
) -> None:
    before = finished_copy.file("07_model_output", "synthetic_images.parquet").read_bytes()
    choose(finished_copy, kedro_here, name)
    images = finished_copy.file("07_model_output", "synthetic_images.parquet").read_bytes()
    found = json.loads(finished_copy.file("08_reporting", "evaluation.json").read_text())
    card = finished_copy.file("07_model_output", "dataset/README.md").read_text()
    assert (images == before) == (name == "hvrt")  # which the finished run drew from
    assert found["origin"]["sampler"] == name
    assert found["n"]["synthetic"] == 500
    assert name in card
    assert (found["made_by"]["parameters"]["generation.sampler"]) == name


def test_the_posterior_needs_a_vae(finished_copy: Any, kedro_here: Any, sentence: Any) -> None:
    said = sentence(choose(finished_copy, kedro_here, OF_VAES, check=False))
    assert "expected those of the posteriors of a VAE" in said

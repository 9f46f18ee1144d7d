"""Names, and what a user may get wrong about them: one sentence each, before anything is fitted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import hvrt_diffuser.diffuser  # noqa: F401 (registers everything that draws)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.estimator import Estimator
from hvrt_diffuser.common.registry import SAMPLERS

NAMES = {
    "hvrt",
    "latent_flow",
    "flow_map",
    "standard_normal",
    "gaussian",
    "gaussian_per_class",
    "mixture",
    "mixture_per_class",
    "kernel_density",
    "interpolation",
    "masked_autoregressive_flow",
    "neural_spline_flow",
    "latent_ddpm",
    "latent_edm",
    "second_stage_vae",
    "vamp_prior",
    "transformer_flow",
    "class_energy",
    "semi_parametric",
    "matched_flow_map",
    "latent_consistency",
    "posterior",
    "smoothed_bootstrap",
    "pixel_diffusion",
    "vq_vae",
    "dvp_vae",
    "coarse_to_fine",
}


def test_everything_that_draws_has_a_name() -> None:
    assert set(SAMPLERS.names()) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_entry_says_what_it_is_and_how_it_was_made(name: str) -> None:
    estimator: Estimator = SAMPLERS.make(name)
    assert estimator.what
    assert estimator.kind in ("latents", "images")
    assert estimator.drawing <= set(type(estimator).model_fields)
    origin = estimator.origin(7)
    assert origin.pop("sampler") == estimator.name == name
    assert origin.pop("seed") == 7
    assert SAMPLERS.make(name, origin) == estimator


def test_variants_differ_in_their_defaults_alone() -> None:
    one, other = SAMPLERS.make("mixture_per_class"), SAMPLERS.make("mixture", {"per": "class"})
    assert one.model_dump() == other.model_dump()
    assert (one.name, other.name) == ("mixture_per_class", "mixture")
    assert SAMPLERS.make("latent_ddpm").solver_steps == 50


def said(name: str, options: dict[str, Any] | None = None) -> str:
    with pytest.raises(InputError) as error:
        SAMPLERS.make(name, options, f"samplers.{name}")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "near"), [("hvtr", "hvrt"), ("mixtures", "mixture"), ("flowmap", "flow_map")]
)
def test_an_unknown_name_brings_the_nearest(name: str, near: str) -> None:
    assert f"there is no sampler called '{name}'" in said(name)
    assert near in said(name).rpartition("did you mean ")[2]


def test_options_of_another_sampler_are_refused() -> None:
    found = said("mixture", {"strength": 0.5})
    assert "the sampler mixture has no option samplers.mixture.strength" in found
    assert "strength is an option of coarse_to_fine, flow_map, latent_flow" in found
    assert "did you mean components" in said("mixture", {"component": 3})
    assert "samplers.mixture.components is 0" in said("mixture", {"components": 0})


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "cannot be imported (No module named 'wrong_samplers')"),
        ("import nothing_of_this_name", "(No module named 'nothing_of_this_name')"),
        ("1 / 0", "(division by zero)"),
        ("x = 1", "(module 'wrong_samplers' has no attribute 'Mine')"),
        (
            "class Mine: pass",
            "lacks fit, model_fields, kind, origin, network, uses, drawing, expected",
        ),
        (
            "from hvrt_diffuser.samplers import SamplerEstimator\n"
            "class Mine(SamplerEstimator): pass",
            "lacks fit, expected",
        ),
        (
            "from hvrt_diffuser.image_models import ImageModelEstimator\n"
            "class Mine(ImageModelEstimator): pass",
            "lacks fit, expected",
        ),
    ],
)
def test_a_path_that_leads_to_no_sampler_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, found: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    if source:
        (tmp_path / "wrong_samplers.py").write_text(source)
    try:
        for path in ("wrong_samplers:Mine", "wrong_samplers.Mine"):
            assert found in said(path)
    finally:
        sys.modules.pop("wrong_samplers", None)

"""From groups to jobs: which there are, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions, Job, expand

Make = Callable[..., ExperimentOptions]


def rows(jobs: list[Job]) -> list[str]:
    return list(dict.fromkeys(job.row for job in jobs))


def test_a_grid_gives_every_combination_for_every_seed(
    base: BaseOptions, make_experiment: Make
) -> None:
    grid = {"autoencoder.beta": [0.0, 1.0], "sampler.strategy": ["epanechnikov", "bootstrap_noise"]}
    jobs = expand("x", make_experiment({"hvrt": {"grid": grid}}), base)
    found = [(job.training.beta, job.sampler.strategy, job.repetition) for job in jobs]  # type: ignore[union-attr,attr-defined]
    assert found == [
        (beta, strategy, seed)
        for beta in (0.0, 1.0)
        for strategy in ("epanechnikov", "bootstrap_noise")
        for seed in (0, 1)
    ]
    assert rows(jobs)[0] == "hvrt, beta 0.0, strategy epanechnikov"
    assert jobs[0].values == {"autoencoder.beta": 0.0, "sampler.strategy": "epanechnikov"}


def test_options_of_the_run_hold_where_a_job_has_none_of_its_own(
    base: BaseOptions, make_experiment: Make
) -> None:
    jobs = {"flow_map": {"options": {"strength": 0.5}}, "second_stage_vae": {}, "vq_vae": {}}
    flow, second, whole = expand(
        "x", make_experiment(jobs, seeds=1, training_steps=7, autoencoder={"epochs": 3}), base
    )
    assert flow.sampler.model_dump() | {"training_steps": 100} == {
        **base.samplers["flow_map"],
        "strength": 0.5,
        "learning_rate": 0.002,
    }
    assert (flow.sampler.training_steps, second.sampler.training_steps) == (7, 7)  # type: ignore[attr-defined]
    assert whole.sampler.training_steps > 7, "a whole model has a budget of its own"  # type: ignore[attr-defined]
    assert flow.training == base.ae_training.model_copy(update={"epochs": 3})
    assert whole.training is None


def test_other_autoencoders_take_samplers_as_the_experiment_has_them(
    base: BaseOptions, make_experiment: Make
) -> None:
    options = make_experiment(
        {
            "vae": {"autoencoder": {"beta": 1.0}, "samplers": ["mixture", "posterior"], "seeds": 1},
            "mixture": {"candidates": [{"sampler.components": 3}, {"sampler.components": 5}]},
        }
    )
    jobs = expand("x", options, base, {"mixture": {"sampler.components": 5}})
    assert rows(jobs) == ["vae + mixture", "vae + posterior", "mixture"]
    assert [job.sampler.components for job in jobs if "mixture" in job.row] == [5, 5, 5]  # type: ignore[attr-defined]
    assert [job.training is None for job in jobs] == [False, False, True, True]
    first = expand("x", options, base)
    assert first[0].sampler.components == 3, "the first candidate, where none was chosen"  # type: ignore[attr-defined]


def test_networks_have_repetitions_of_their_own(base: BaseOptions, make_experiment: Make) -> None:
    options = make_experiment({"hvrt": {}, "latent_flow": {}}, seeds=3, network_seeds=2)
    jobs = expand("x", options, base)
    assert [job.row for job in jobs] == ["hvrt"] * 3 + ["latent_flow"] * 2


def test_repetitions_may_share_a_training(base: BaseOptions, make_experiment: Make) -> None:
    group = {"autoencoder": {"beta": 1.0}, "samplers": ["hvrt"]}
    both = make_experiment({"own": group, "shared": {**group, "trainings": 1}}, seeds=3)
    jobs = expand("x", both, base)
    assert [job.trained for job in jobs] == [0, 1, 2, 0, 0, 0]
    assert [job.repetition for job in jobs] == [0, 1, 2] * 2


def test_a_group_that_is_null_is_left_out(base: BaseOptions, make_experiment: Make) -> None:
    assert rows(expand("x", make_experiment({"hvrt": {}, "gaussian": None}), base)) == ["hvrt"]
    with pytest.raises(InputError, match=r"x\.jobs names no job"):
        expand("x", make_experiment({"hvrt": None}), base)


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ({"hvr": {}}, "there is no sampler called 'hvr'.*did you mean hvrt"),
        ({"hvrt": {"options": {"noise": 1.0}}}, "no option x.jobs.hvrt.sampler.noise"),
        (
            {"hvrt": {"options": {"components": 3}}},
            "components is an option of gaussian, .*mixture",
        ),
        ({"hvrt": {"grid": {"sampler.noise_scale": [1.0, -1.0]}}}, "noise_scale is -1.0"),
        ({"hvrt": {"grid": {"tstr.n": [1]}}}, "x.jobs.hvrt changes tstr.n, expected options such"),
        ({"hvrt": {"autoencoder": {"bta": 1.0}}}, "x.jobs.hvrt.autoencoder.bta"),
        ({"hvrt": {"autoencoder": {"beta": -1.0}}}, "x.jobs.hvrt.autoencoder.beta is -1.0"),
        ({"mixture": {"candidates": [{"sampler.components": 0}]}}, "components is 0"),
        ({"flow_map": {"grid": {"sampler.strength": [0.5, 1.6]}}}, "strength is 1.6"),
        ({"latent_flow": {"options": {"strength": 0.0}}}, "strength is 0.0"),
        ({"flow_map": {"copies": 3}}, "draws start from no image"),
        ({"hvrt": {"copies": 3}}, "draws start from no image"),
        ({"x": {"autoencoder": {"epochs": 1}, "samplers": ["posterior"]}}, "needs a VAE"),
        ({"vq_vae": {"autoencoder": {"beta": 1.0}}}, "vq_vae, a whole model, with an autoencoder"),
    ],
)
def test_what_cannot_be_made_is_told(
    base: BaseOptions, make_experiment: Make, jobs: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        expand("x", make_experiment(jobs), base)


def test_an_unknown_field_of_an_experiment_is_refused(make_experiment: Make) -> None:
    with pytest.raises(ValidationError, match="seed"):
        make_experiment({"hvrt": {"seed": 3}})
    with pytest.raises((ValidationError, InputError), match="there is no metric called"):
        make_experiment({"hvrt": {}}, metrics=["tast"])
    with pytest.raises(ValidationError, match="classifier"):
        make_experiment({"hvrt": {}}, classifier=1)

"""The pipelines of experiments: their configuration can be run, and their nodes give tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments import expand
from hvrt_diffuser.experiments.jobs import space_of
from hvrt_diffuser.experiments.likelihoods import likelihood_jobs
from hvrt_diffuser.image_models import DVPVAEEstimator
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.pipelines.experiments.nodes import measure_jobs, measure_sweep
from hvrt_diffuser.pipelines.experiments.parameters import (
    LIKELIHOODS,
    SWEEPS,
    BaseOptions,
    ExperimentOptions,
    LikelihoodOptions,
    check_experiments,
)
from hvrt_diffuser.pipelines.experiments.pipeline import EXPERIMENTS, create_experiment
from hvrt_diffuser.pipelines.parameters import check_parameters, complete
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
CLASSIFIER = ClassifierOptions(width=8, steps=20)
TRAINING = TrainingOptions(latent_dim=8, width=8, epochs=1, batch_size=250)
BASE = BaseOptions(ae_training=TRAINING, classifier=CLASSIFIER)


def configured(env: str) -> dict[str, Any]:
    loader = OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)
    found: dict[str, Any] = loader["parameters"]
    return found


@pytest.mark.parametrize("env", ["base", "test", "mnist", "cifar10"])
def test_every_experiment_can_be_made_in_every_environment(env: str) -> None:
    found = configured(env)
    for name in EXPERIMENTS:
        options = ExperimentOptions.model_validate(found[name])
        jobs = expand(name, options, BASE)
        assert jobs and all(job.row for job in jobs)
        if options.search is not None:
            assert len(space_of(name, options, BASE)) >= options.search.trials


def test_the_configuration_has_the_groups_of_the_sweeps() -> None:
    assert tuple(configured("base")["hpo"]["jobs"]) == SWEEPS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_node_takes_more_than_seven_inputs(name: str) -> None:
    for node in create_experiment(name).nodes:
        assert len(node.inputs) <= 7


def test_one_sweep_can_be_selected() -> None:
    sweep = create_experiment("hpo").filter(node_namespaces=["hpo.beta"])
    assert sweep.outputs() == {"hpo_beta_sweep_plot"}
    assert "hpo_beta_sweep" in sweep.all_outputs()


def images_and_models(bench: Bench) -> tuple[Any, ...]:
    return bench.train, bench.test, bench.autoencoder, bench.judge


def test_a_search_gives_a_front_and_measures_its_best_again(bench: Bench, tmp_path: Path) -> None:
    options = ExperimentOptions.model_validate(
        {
            "n": 200,
            "compared": 100,
            "seeds": 1,
            "search": {"trials": 3, "confirmed": 1, "space": {"sampler.noise_scale": [0, 1, 3]}},
            "jobs": {"hvrt": {}},
        }
    )
    table = measure_jobs(*images_and_models(bench), options, BASE, tmp_path, name="optimise")
    assert 1 <= len(table["front"]) <= 3
    (row,) = table["rows"]
    assert row["values"] in [each["values"] for each in table["front"]]
    assert all("copy_floor" in each for each in table["front"])


def test_a_sweep_says_what_its_options_matter(bench: Bench, tmp_path: Path) -> None:
    options = ExperimentOptions.model_validate(
        {
            "n": 200,
            "compared": 100,
            "seeds": 1,
            "jobs": {
                "strategy": {"samplers": ["hvrt"], "grid": {"sampler.noise_scale": [0.3, 3.0]}},
                "beta": {"samplers": ["hvrt"], "grid": {"autoencoder.beta": [0.0, -1.0]}},
            },
        }
    )
    arguments = (*images_and_models(bench), options, BASE, tmp_path)
    with pytest.raises(InputError, match=r"beta is -1.0"):  # of another sweep: it may be hours away
        measure_sweep(*arguments, name="hpo", group="strategy")
    good = options.model_copy(update={"jobs": {"strategy": options.jobs["strategy"]}})
    arguments = (*images_and_models(bench), good, BASE, tmp_path)
    table = measure_sweep(*arguments, name="hpo", group="strategy")
    assert [row["values"] for row in table["rows"]] == [
        {"sampler.noise_scale": 0.3},
        {"sampler.noise_scale": 3.0},
    ]
    assert table["importance"]["dcr_image"] == {"sampler.noise_scale": 1.0}
    assert table["floors"]["copy_floor"] > 0


def test_a_sweep_that_no_pipeline_measures_is_told(bench: Bench, tmp_path: Path) -> None:
    options = ExperimentOptions.model_validate({"jobs": {"kernels": {"samplers": ["hvrt"]}}})
    with pytest.raises(InputError, match=r"hpo\.jobs has a group kernels, which no pipeline"):
        measure_sweep(
            *images_and_models(bench), options, BASE, tmp_path, name="hpo", group="strategy"
        )


def completed(**changes: Any) -> dict[str, Any]:
    return complete(check_parameters({**configured("test"), **changes}))


GOOD = {"samplers": ["hvrt"], "grid": {"sampler.noise_scale": [0.5, 1.0]}}
JOBS = {
    "an option of nobody": ({"strategy": {**GOOD, "grid": {"sampler.nose": [1]}}}, "nose"),
    "a part of nothing": ({"beta": {**GOOD, "grid": {"strategy": ["kde"]}}}, "changes strategy"),
    "a value that is refused": ({"tree": {**GOOD, "grid": {"sampler.max_depth": [0]}}}, "is 0"),
    "too many combinations": (
        {"tree": {**GOOD, "grid": {f"sampler.{i}": list(range(200)) for i in "abc"}}},
        "8,000,000 combinations, expected at most 10,000",
    ),
    "a group of no sweep": ({"kernels": GOOD}, "which no pipeline measures"),
    "an unknown sampler": ({"beta": {"samplers": ["hvart"]}}, "no sampler called 'hvart'"),
    "the second candidate": (
        {"beta": {"samplers": ["hvrt"], "candidates": [{}, {"sampler.nose": 1}]}},
        "nose",
    ),
    "no job": (dict.fromkeys(SWEEPS), "names no job"),
}


@pytest.mark.parametrize("case", JOBS)
def test_a_job_that_cannot_be_made_is_refused_before_anything_runs(case: str) -> None:
    jobs, said = JOBS[case]
    parameters = completed(hpo={"jobs": jobs})
    with pytest.raises(InputError, match=said):
        check_experiments(parameters, {"images_train", "params:hpo"}, EXPERIMENTS)
    check_experiments(parameters, {"images_train", "params:phase1"}, EXPERIMENTS)


def test_a_point_of_a_search_that_cannot_be_made_is_refused_before_anything_runs() -> None:
    wrong = {"search": {"space": {"sampler.noise_scale": [1.0, -1.0]}}, "jobs": {"hvrt": {}}}
    with pytest.raises(InputError, match=r"noise_scale is -1.0"):
        check_experiments(completed(optimise=wrong), {"params:optimise"}, EXPERIMENTS)


def test_the_configured_experiments_pass() -> None:
    asked = {f"params:{name}" for name in (*EXPERIMENTS, LIKELIHOODS)}
    check_experiments(completed(), asked, EXPERIMENTS)


@pytest.mark.parametrize("env", ["base", "test", "mnist"])
def test_the_experiment_of_bounds_leaves_out_one_part_at_a_time(env: str) -> None:
    options = LikelihoodOptions.model_validate(configured(env)[LIKELIHOODS])
    jobs = likelihood_jobs(LIKELIHOODS, options, BASE)
    published = DVPVAEEstimator(conditional=False).model_dump()
    for job in jobs:
        own = job.sampler.model_dump()
        assert sum(own[option] != published[option] for option in own) <= 1
    sizes = [job.values["sampler.pseudoinput_size"] for job in jobs if job.values]
    assert (min(sizes), max(sizes)) == (3, 11)


def test_a_job_of_bounds_that_cannot_be_made_is_refused_before_anything_runs() -> None:
    jobs = {"hvrt": {}}
    with pytest.raises(InputError, match=r"dvp_vae\.jobs\.hvrt has hvrt, expected dvp_vae"):
        check_experiments(completed(dvp_vae={"jobs": jobs}), {"params:dvp_vae"}, EXPERIMENTS)

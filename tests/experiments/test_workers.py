"""Jobs on workers: the entries of one process, by small tasks, none measured twice."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common import worker
from hvrt_diffuser.common.engine import Engine, EngineOptions, used
from hvrt_diffuser.common.engines import opened
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import (
    BaseOptions,
    ExperimentOptions,
    Job,
    LikelihoodOptions,
    LikelihoodRunner,
    Runner,
    expand,
    run_jobs,
    tabulate_likelihoods,
    workers,
)
from hvrt_diffuser.experiments.jobs import space_of
from hvrt_diffuser.experiments.search import search
from hvrt_diffuser.experiments.warm_start import WarmStartRunner

MakeRunner = Callable[..., Runner]
MakeExperiment = Callable[..., ExperimentOptions]
MOST = 10_000  # bytes of a task on its way
FLEETING = ("train_seconds", "ms_per_image", "peak_mb")
JOBS: dict[str, Any] = {
    "hvrt": {"grid": {"sampler.noise_scale": [0.0, 1.0]}},
    "mixture": {"seeds": 1, "options": {"components": 2}},
    "narrow": {"samplers": ["hvrt"], "autoencoder": {"latent_dim": 4}, "seeds": 1},
}


class Sending(Engine):
    """Does tasks as a worker of another process would: with what travels, and files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(workers=1, folder=folder)
        folder.mkdir(parents=True)
        self.tasks: list[str] = []

    def run(  # type: ignore[override]
        self, kind: Any, name: str, setting: Any, tensors: Any, shared: Any = None, **_: Any
    ) -> Any:
        assert self.folder is not None
        assert len(pickle.dumps((worker.do, kind, setting))) <= MOST
        own = self.folder / f"task-{len(self.tasks)}"
        write_tensors(own / "given", tensors, {"kind": worker.GIVEN})
        self.tasks.append(name)
        with used(Engine(1)):  # what a worker's own process has
            worker.do(kind, setting, str(own / "given"), None, str(own / kind.file))
        return kind.load(own / kind.file)


@contextmanager
def sending(folder: Path) -> Iterator[Sending]:
    threads = torch.get_num_threads()
    workers._runner.cache_clear()
    with used(Sending(folder)) as engine:
        assert isinstance(engine, Sending)
        yield engine
    torch.set_num_threads(threads)


def lasting(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k not in FLEETING} for entry in entries]


@pytest.fixture(scope="module")
def options(make_experiment: MakeExperiment) -> ExperimentOptions:
    return make_experiment(JOBS)


@pytest.fixture(scope="module")
def jobs(options: ExperimentOptions, base: BaseOptions) -> list[Job]:
    return expand("rivals", options, base)


@pytest.fixture(scope="module")
def here(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    jobs: list[Job],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """The rows of one process."""
    return run_jobs(make_runner(options, tmp_path_factory.mktemp("here")), jobs, "measuring")


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_a_job_travels_as_json(name: str, base: BaseOptions) -> None:
    sampler = SAMPLERS.make(name, {}, "a test")
    job = Job("row", "group", {"sampler.x": 1}, sampler, base.ae_training, 1, 2, start="known")
    again = Job.loaded(json.loads(json.dumps(job.dumped())))
    assert again == job
    assert type(again.sampler) is type(sampler)
    plain = Job("row", "group", {}, sampler, None, 0, 0, augmentation=base.augmentation)
    assert Job.loaded(json.loads(json.dumps(plain.dumped()))) == plain


def test_workers_measure_what_one_process_would(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    jobs: list[Job],
    here: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    runner = make_runner(options, tmp_path / "there")
    with pytest.MonkeyPatch.context() as patch, sending(tmp_path / "tasks") as engine:
        patch.setattr(runner, "_measure", None)  # this process measures nothing
        patch.setattr(runner, "_measure_floors", None)
        found = run_jobs(runner, jobs, "measuring")
        together = {json.dumps(runner.work(job).together) for job in jobs}
        assert len(engine.tasks) == len(together)
        run_jobs(runner, jobs, "measuring")
        assert len(engine.tasks) == len(together)  # all is there
    assert lasting(found) == lasting(here)


def test_what_another_run_is_at_is_left_to_it(
    make_runner: MakeRunner, options: ExperimentOptions, jobs: list[Job], tmp_path: Path
) -> None:
    runner = make_runner(options, tmp_path / "there")
    with sending(tmp_path / "tasks") as engine:
        shared = workers.Shared(runner)
        works = [(runner.work(job), {}) for job in jobs[:1]]
        with runner.ledger.turn(works[0][0].together):
            shared.measure(works, "measuring")
        assert engine.tasks == []


@pytest.mark.slow
def test_a_search_and_a_warm_start_by_workers(
    make_runner: MakeRunner, make_experiment: MakeExperiment, base: BaseOptions, tmp_path: Path
) -> None:
    space = {"sampler.noise_scale": [0.0, 0.5, 1.0]}
    searched = make_experiment(
        {"hvrt": {}}, search={"trials": 2, "confirmed": 1, "space": space}, seeds=1
    )
    points = space_of("search", searched, base)
    with sending(tmp_path / "tasks") as engine:
        found = search(make_runner(searched, tmp_path / "there"), points, 2, 0)
        assert len(engine.tasks) == 3  # two points, and the floors that they share
    alone = search(make_runner(searched, tmp_path / "here"), points, 2, 0)
    assert lasting(found) == lasting(alone)

    start = make_experiment(
        {
            "known": {"samplers": ["hvrt"], "start": "known", "seeds": 1},
            "warm": {"samplers": ["hvrt"], "start": "warm", "seeds": 1},
        }
    )
    started = expand("warm_start", start, base)
    runner = make_runner(start, tmp_path / "warm", kind=WarmStartRunner)
    with sending(tmp_path / "other tasks"):
        warm = run_jobs(runner, started, "measuring")
    one = make_runner(start, tmp_path / "cold", kind=WarmStartRunner)
    assert lasting(warm) == lasting(run_jobs(one, started, "measuring"))


def test_a_job_that_cannot_be_made_is_refused_before_anything_is_sent(
    make_runner: MakeRunner, options: ExperimentOptions, base: BaseOptions, tmp_path: Path
) -> None:
    sampler = SAMPLERS.make("posterior", {}, "a test")
    job = Job("posterior", "posterior", {}, sampler, None, 0, 0)
    with sending(tmp_path / "tasks") as engine, pytest.raises(InputError, match="needs a VAE"):
        run_jobs(make_runner(options, tmp_path / "there"), [job], "measuring")
    assert engine.tasks == []


@pytest.mark.slow
def test_processes_of_dask_measure_what_one_process_would(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    jobs: list[Job],
    here: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    pytest.importorskip("distributed")
    runner = make_runner(options, tmp_path / "there")
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(EngineOptions(kind="dask", workers=2), tmp_path / "tasks"),
    ):
        patch.setattr(runner, "_measure", None)
        patch.setattr(runner, "_measure_floors", None)
        found = run_jobs(runner, jobs, "measuring")
        # What somebody deletes is measured again, though its tasks have finished before.
        for item in runner.items(jobs):
            runner.ledger.path(runner.work_of(item).identity).unlink()
        again = run_jobs(runner, jobs, "measuring")
    assert lasting(found) == lasting(again) == lasting(here)


def test_bounds_are_measured_by_workers_too(
    digits: LabelledImages, base: BaseOptions, tmp_path: Path
) -> None:
    one = {"samplers": ["dvp_vae"], "options": {"epochs": 1}}
    sizes = {"images": 20, "iwae_images": 5, "epoch_images": 5, "times": 2}
    samples = {"iwae_samples": 2, "epoch_iwae_samples": 2, "seeds": 2}
    options = LikelihoodOptions.model_validate({"jobs": {"one": one}, **sizes, **samples})
    train, test = digits[torch.arange(260)], digits[torch.arange(300, 340)]

    def runner(name: str) -> LikelihoodRunner:
        folder = tmp_path / name
        return LikelihoodRunner("dvp_vae", train, test, base, options, folder, "the command")

    with sending(tmp_path / "tasks") as engine:
        rows = tabulate_likelihoods(runner("there"))["rows"]
        assert len(engine.tasks) == 2
    alone = tabulate_likelihoods(runner("here"))["rows"]
    assert [row.pop("seconds") > 0 for row in [*rows, *alone]] == [True] * 4
    assert rows == alone

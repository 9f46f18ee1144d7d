"""The joint search: no point is better than those it gives, and none is measured twice."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions, Job
from hvrt_diffuser.experiments.jobs import space_of
from hvrt_diffuser.experiments.ledger import Ledger, Work
from hvrt_diffuser.experiments.search import (
    confirmations,
    importances,
    pareto_front,
    search,
    spread,
)

SPACE = {
    "sampler.noise_scale": [0.1, 1.0, 2.0, 3.0],
    "sampler.strategy": ["epanechnikov", "bootstrap_noise"],
    "sampler.max_depth": [None, 1],
}
Entry = dict[str, Any]


def known(values: dict[str, Any]) -> Entry:
    """More noise costs fidelity and buys novelty; a kernel and a depth are worse in all."""
    x, kernel, depth = values.values()
    worse = 5.0 * (kernel == "epanechnikov") + (depth is not None)
    return {"fd_classifier": x + worse, "tstr": 90 - worse, "dcr_image": x / 4 - worse}


class Pretended:
    """A runner whose jobs take no time, or as much as is asked for."""

    def __init__(self, folder: Path, measure: Callable[[dict[str, Any]], Entry]) -> None:
        self.ledger, self.measure = Ledger(folder), measure

    def check(self, jobs: list[Job]) -> None:
        pass

    def work(self, job: Job) -> Work:
        return Work(
            job.values,
            job.values,
            frozenset({"tstr"}),
            lambda before, kept: (self.measure(job.values), None),
            "",
        )

    def run(self, jobs: list[Job], description: str) -> list[Entry]:
        found = self.ledger.fill([self.work(job) for job in jobs], description)
        return [
            {"values": job.values, "repetition": job.repetition, **entry}
            for job, entry in zip(jobs, found, strict=True)
        ]


@pytest.fixture(scope="module")
def jobs(base: BaseOptions, make_experiment: Callable[..., ExperimentOptions]) -> list[Job]:
    options = make_experiment({"hvrt": {}}, search={"space": SPACE})
    found = space_of("x", options, base)
    assert len(found) == len(list(itertools.product(*SPACE.values())))
    return found


def searched(
    jobs: list[Job], folder: Path, trials: int, measure: Any = known, seed: int = 0
) -> list[Entry]:
    return search(Pretended(folder, measure), jobs, trials, seed)  # type: ignore[arg-type]


class Asked(list[Entry]):
    """Remembers what was asked for."""

    def __call__(self, values: Entry) -> Entry:
        self.append(values)
        return known(values)


def test_a_search_of_everything_gives_the_pareto_front(jobs: list[Job], tmp_path: Path) -> None:
    asked = Asked()
    best = pareto_front(searched(jobs, tmp_path, 1000, asked))
    assert [tuple(entry["values"].values()) for entry in best] == [
        (x, "bootstrap_noise", None) for x in SPACE["sampler.noise_scale"]
    ]
    assert len(asked) == len(jobs), "each point once"


def test_a_search_that_was_cut_off_goes_on(jobs: list[Job], tmp_path: Path) -> None:
    asked = Asked()

    def cut(values: Entry) -> Entry:
        found = asked(values)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return found

    with pytest.raises(KeyboardInterrupt):
        searched(jobs, tmp_path, 8, cut)
    searched(jobs, tmp_path, 8, cut)
    assert len(asked) == 9, "eight, and the one that was cut off"
    assert asked[3] == asked[4], "it is proposed again"
    searched(jobs, tmp_path, 8, cut)
    assert len(asked) == 9


def test_searches_that_share_a_ledger_measure_no_more_and_give_the_same(
    jobs: list[Job], tmp_path: Path
) -> None:
    asked = Asked()

    def slow(values: Entry) -> Entry:
        time.sleep(0.3)  # so that the others see it under way
        return asked(values)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: searched(jobs, tmp_path, 7, slow), range(2)))
    assert len(asked) == len({str(values) for values in asked}) == 7
    assert found[0] == found[1]


def test_the_same_seed_proposes_the_same(jobs: list[Job], tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        asked = Asked()
        searched(jobs, tmp_path / name, 12, asked, seed)
        found.append(list(asked))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_those_that_are_measured_again_are_the_best_in_each_objective(jobs: list[Job]) -> None:
    front: Any = [
        {"values": jobs[i].values, "fd_classifier": fd, "tstr": tstr, "dcr_image": dcr}
        for i, (fd, tstr, dcr) in enumerate(
            [(1, 90, 0.1), (2, 99, 0.2), (3, 95, 0.9), (4, 98, 0.8)]
        )
    ]
    assert spread(front, 3) == front[:3]
    assert spread(front, 2) == front[:2]
    assert len(spread(front, 10)) == 4
    again = confirmations(jobs, front[1:3], 2)
    assert [(job.values, job.repetition) for job in again] == [
        (jobs[i].values, seed) for i in (1, 2) for seed in (1, 2)
    ], "with seeds that the search has not seen"


def test_what_matters_is_told_apart_from_what_does_not(jobs: list[Job]) -> None:
    entries = [
        {"values": job.values, "repetition": seed, **known(job.values)}
        for job in jobs
        for seed in (0, 1)
    ]
    found = importances(entries, seed=0)
    for shares in found.values():
        assert set(shares) == {*SPACE, "seed"}
        assert sum(shares.values()) == pytest.approx(1)
    assert found["tstr"]["sampler.strategy"] > 0.8
    same = [{**entry, "fd_classifier": 1.0, "tstr": 2.0, "dcr_image": 0.5} for entry in entries]
    assert importances(same, seed=0) == {}, "without variance nothing matters"


def test_a_search_needs_one_group_and_a_space(
    base: BaseOptions, make_experiment: Callable[..., ExperimentOptions]
) -> None:
    for jobs, space in (({"hvrt": {}}, None), ({"hvrt": {}, "gaussian": {}}, {"space": SPACE})):
        with pytest.raises(InputError, match="expected one group and a search with a space"):
            space_of("x", make_experiment(jobs, search=space), base)
    wrong = {"space": {"sampler.noise_scale": [1.0, -1.0]}}
    with pytest.raises(InputError, match=r"noise_scale is -1\.0"):
        space_of("x", make_experiment({"hvrt": {}}, search=wrong), base)

"""The joint search: no point is better than those it gives, and none is measured twice."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.sweeps import Grid, Point, Search, spread

SPACE = {"a.x": [0.0, 1.0, 2.0, 3.0], "a.y": ["low", "high"], "b.z": [None, 1]}


def known(point: Point) -> dict[str, float | None]:
    """More x costs fidelity and buys novelty; high is better in all; z is worse in all."""
    x, y, z = (point[name] for name in SPACE)
    assert isinstance(x, float)
    worse = 5.0 * (y == "low") + (z is not None)
    return {"fd": x + worse, "tstr": 90 - worse, "dcr_image": x / 4 - worse, "attribution": None}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'search.db'}"


def opened(storage: str, seed: int = 0) -> Search:
    turn = Path(storage.partition("///")[2] + ".lock")
    return Search.open(storage, "search", SPACE, {}, turn, seed)


def values(measured: Any) -> list[tuple[Any, ...]]:
    return sorted(tuple(point[name] for name in SPACE) for point, _ in measured)


def test_a_search_of_everything_gives_the_pareto_front(storage: str) -> None:
    asked: list[Point] = []

    def measure(point: Point) -> dict[str, float | None]:
        asked.append(point)
        return known(point)

    best = opened(storage).run(measure, 1000)
    assert values(best) == [(x, "high", None) for x in (0.0, 1.0, 2.0, 3.0)]
    assert all(measures == known(point) for point, measures in best)
    assert len(asked) == len(list(itertools.product(*SPACE.values()))), "each point once"


def test_a_search_that_was_cut_off_goes_on(storage: str) -> None:
    asked: list[Point] = []

    def cut(point: Point) -> dict[str, float | None]:
        asked.append(point)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return known(point)

    with pytest.raises(KeyboardInterrupt):
        opened(storage).run(cut, 8)
    opened(storage).run(cut, 8)
    assert len(asked) == 9, "eight, and the one that was cut off"
    opened(storage).run(cut, 8)
    assert len(asked) == 9


def test_searches_that_share_a_study_measure_no_more_and_give_the_same(storage: str) -> None:
    asked: list[Point] = []

    def slow(point: Point) -> dict[str, float | None]:
        asked.append(point)
        time.sleep(0.2)  # so that the others see it under way
        return known(point)

    searches = [opened(storage) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda search: search.run(slow, 7), searches))
    assert len({tuple(point.items()) for point in asked}) == 7
    assert found[0] == found[1] == found[2]


def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        asked: list[Point] = []

        def measure(point: Point, asked: list[Point] = asked) -> dict[str, float | None]:
            asked.append(point)
            return known(point)

        opened(f"sqlite:///{tmp_path / name}", seed).run(measure, 8)
        found.append(asked)
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_those_that_are_measured_again_are_the_best_in_each_objective() -> None:
    best: Any = [
        ({"x": i}, {"fd": fd, "tstr": tstr, "dcr_image": dcr})
        for i, (fd, tstr, dcr) in enumerate(
            [(1, 90, 0.1), (2, 99, 0.2), (3, 95, 0.9), (4, 98, 0.8)]
        )
    ]
    assert spread(best, 3) == [{"x": 0}, {"x": 1}, {"x": 2}]
    assert spread(best, 2) == [{"x": 0}, {"x": 1}]
    assert len(spread(best, 10)) == 4


def test_a_grid_of_some_combinations_has_no_others() -> None:
    some: list[Point] = [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
    grid = Grid.of(some, 2)
    assert grid.points() == [{**point, "seed": seed} for seed in (0, 1) for point in some]
    assert grid.choices() == {"x": [1, 2], "y": ["a", "b"], "seed": [0, 1]}

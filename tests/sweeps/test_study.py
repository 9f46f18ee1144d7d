"""Sweeps: each point is measured once, whatever happens to the processes that measure them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.sweeps import Grid, Point, Sweep, importances, study

GRID = Grid({"ae_training.beta": [0.0, 1.0], "hvrt_fitting.strategy": ["a", "b", None]}, seeds=2)
PATIENCE = 60  # seconds until another process must have answered

WORKER = """
import sys, time
from pathlib import Path
from hvrt_diffuser.sweeps import Grid, Sweep, study
study.HEARTBEAT, study.GRACE, study.PATIENCE = 1, 3, 0.2
storage, log, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
def measure(point):
    with log.open("a") as file:
        file.write(f"{point}\\n")
    time.sleep(seconds)
    return {"fd": float(point["seed"]), "tstr": 50.0}
grid = Grid({"ae_training.beta": [0.0, 1.0], "hvrt_fitting.strategy": ["a", "b", None]}, 2)
print(len(Sweep.open(storage, "shared", grid, {}, log.with_name("turn")).run(measure)))
"""


def known(point: Point) -> dict[str, float | None]:
    """Measures that say which point they are of."""
    beta, strategy, seed = point.values()
    assert isinstance(beta, float) and isinstance(seed, int)
    fd = 100 * beta + 10 * ["a", "b", None].index(strategy) + seed  # type: ignore[arg-type]
    return {"fd": fd, "tstr": 90 - beta, "attribution": None}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'sweeps.db'}"


def opened(storage: str, grid: Grid, setting: dict[str, int]) -> Sweep:
    return Sweep.open(storage, "name", grid, setting, Path(storage.partition("///")[2] + ".lock"))


def test_points_of_a_seed_stand_together_and_the_first_axis_varies_slowest() -> None:
    points = GRID.points()
    assert [point["seed"] for point in points] == [0] * 6 + [1] * 6
    assert [tuple(point.values())[:2] for point in points[:6]] == [
        (beta, strategy) for beta in (0.0, 1.0) for strategy in ("a", "b", None)
    ]


def test_every_point_is_measured_once_and_never_again(storage: str) -> None:
    asked: list[Point] = []

    def measure(point: Point) -> dict[str, float | None]:
        asked.append(point)
        return known(point)

    for _ in range(2):
        found = opened(storage, GRID, {"n": 1}).run(measure)
        assert [point for point, _ in found] == GRID.points()
        assert all(measures == known(point) for point, measures in found)
    assert asked == GRID.points()


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_what_was_cut_off_is_measured_by_the_next_run(
    storage: str, error: type[BaseException]
) -> None:
    asked: list[Point] = []

    def cut(point: Point) -> Mapping[str, float | None]:
        asked.append(point)
        if len(asked) == 5:
            raise error
        return known(point)

    with pytest.raises(error):
        opened(storage, GRID, {}).run(cut)
    assert len(opened(storage, GRID, {}).measured()) == 4
    found = opened(storage, GRID, {}).run(cut)
    assert [point for point, _ in found] == GRID.points()
    assert Counter(map(str, asked)) == Counter([*map(str, GRID.points()), str(GRID.points()[4])])


@pytest.mark.parametrize(
    ("grid", "setting"),
    [
        (GRID, {"n": 2}),
        (Grid(GRID.axes, 3), {"n": 1}),
        (Grid({**GRID.axes, "ae_training.beta": [0.0, 2.0]}, 2), {"n": 1}),
    ],
)
def test_another_setting_or_grid_has_a_study_of_its_own(
    storage: str, grid: Grid, setting: dict[str, int]
) -> None:
    first = opened(storage, GRID, {"n": 1})
    first.run(known)
    other = opened(storage, grid, setting)
    assert other.measured() == []
    assert other.study.study_name != first.study.study_name
    assert opened(storage, GRID, {"n": 1}).study.study_name == first.study.study_name


def test_a_storage_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    for wrong in ("nonsense", f"sqlite:///{tmp_path}/missing/folder/x.db"):
        with pytest.raises(InputError, match=r"correct hpo\.storage"):
            Sweep.open(wrong, "name", GRID, {}, tmp_path / "turn")


def test_what_matters_is_told_apart_from_what_does_not(storage: str) -> None:
    sweep = opened(storage, GRID, {})
    sweep.run(known)
    found = importances(sweep.study, seed=0)
    for of_measure in found.values():
        assert set(of_measure) == {"ae_training.beta", "hvrt_fitting.strategy", "seed"}
        assert sum(of_measure.values()) == pytest.approx(1)
        assert of_measure["ae_training.beta"] > 0.9


def test_without_variance_nothing_matters(storage: str) -> None:
    sweep = opened(storage, GRID, {})
    sweep.run(lambda point: {"fd": 1.0, "tstr": 2.0})
    assert importances(sweep.study, seed=0) == {}


# ---- several processes


@pytest.fixture
def start(storage: str, tmp_path: Path) -> Callable[[float], subprocess.Popen[str]]:
    """Start a process that measures the grid and takes its time for every point."""

    def started(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, storage, str(tmp_path / "log"), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return started


def measured(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_processes_share_the_points(
    start: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    processes = [start(0.3) for _ in range(3)]
    answers = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [answer.split()[-1] for answer in answers] == ["12"] * 3, "each waits for all points"
    assert sorted(measured(tmp_path)) == sorted(map(str, GRID.points()))


def test_the_point_of_a_killed_process_is_taken_up(
    start: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(1000)
    deadline = time.monotonic() + PATIENCE
    while not measured(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    answer, _ = start(0).communicate(timeout=PATIENCE)
    assert answer.split()[-1] == "12"
    counts = Counter(measured(tmp_path))
    assert counts.pop(str(GRID.points()[0])) == 2
    assert set(counts.values()) == {1}
    assert len(counts) == 11


def test_signs_of_life_are_closer_than_patience() -> None:
    assert 2 * study.HEARTBEAT < study.GRACE

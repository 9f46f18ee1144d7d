"""A run by workers of dask leaves what a run in one process leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

AT_MOST = 10  # seconds that a worker outlives whoever it worked for
DASK = "engine.kind=dask,engine.workers=2"


@pytest.mark.slow
def test_tstr_by_workers_is_that_of_one_process(finished_copy: Any, kedro: Any) -> None:
    table = finished_copy.file("08_reporting", "tstr.json")
    predictions = finished_copy.file("07_model_output", "tstr_predictions.safetensors")
    stages = finished_copy.file("08_reporting", "stages.json")
    before = [path.read_bytes() for path in (table, predictions)]
    for path in (table, predictions, stages):
        path.unlink()
    kedro(finished_copy, "run", "--env", "test", "--pipelines", "tstr", "--params", DASK)
    assert [path.read_bytes() for path in (table, predictions)] == before
    done = {"tstr.train_synthetic_test_real", "tstr.tabulate_tstr"}
    assert set(json.loads(stages.read_text())) == done
    assert not finished_copy.file("06_models", "tasks").exists()


def wait_until(true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited for {seconds} s"
        time.sleep(0.05)


def of_group(group: int) -> list[str]:
    """The processes of a group, but for zombies."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(status.parent.name)
    return found


@pytest.mark.slow
def test_control_c_ends_the_workers_and_the_run_goes_on_later(
    finished_copy: Any, start: Any, kedro: Any
) -> None:
    table = finished_copy.file("08_reporting", "tstr.json")
    before, tasks = table.read_bytes(), finished_copy.file("06_models", "tasks")
    for path in (table, finished_copy.file("07_model_output", "tstr_predictions.safetensors")):
        path.unlink()
    command = ("run", "--env", "test", "--pipelines", "tstr", "--params", DASK)
    process = start(finished_copy, *command)
    wait_until(lambda: list(tasks.glob("*/result.safetensors")), 900)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    wait_until(lambda: not of_group(process.pid), AT_MOST)
    _, err = process.communicate(timeout=AT_MOST)
    assert process.returncode != 0
    assert err.splitlines()[-1] == "Aborted!"
    assert "Traceback" not in err
    assert not [path for path in tasks.rglob("*") if path.name.endswith(".partial")]
    kedro(finished_copy, *command)
    assert table.read_bytes() == before
    assert not tasks.exists()


def test_a_scheduler_that_is_not_there_is_refused_before_anything_runs(
    project: Any, kedro_here: Any, sentence: Any
) -> None:
    given = "engine.kind=dask,engine.address=tcp://127.0.0.1:1"
    done = kedro_here(project, "run", "--env", "test", "--params", given, check=False)
    assert "no scheduler of dask answers at engine.address tcp://127.0.0.1:1" in sentence(done)
    assert not project.file("03_primary", "images_train.safetensors").exists()

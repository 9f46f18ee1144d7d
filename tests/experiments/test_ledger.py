"""Entries that processes share: each is measured once, whatever happens to the processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments.ledger import Ledger, Work

WORKER = """
import os, sys, time
from pathlib import Path
from hvrt_diffuser.experiments.ledger import Ledger, Work

folder, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def work(i):
    def measure(before, kept):
        with log.open("a") as file:
            file.write(f"{i}\\n")
        if i:
            time.sleep(seconds)
        return {"by": os.getpid()}, None
    return Work({"job": i}, i // 2, frozenset({"by"}), measure, "")

print(len(Ledger(folder).fill([work(i) for i in range(6)], "measuring")))
"""


def worker(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder), str(folder / "log"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def begun(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def work(name: str, value: Any = 1, names: str = "value") -> Work:
    measures = {each: value for each in names.split()}
    return Work(
        {"name": name}, name, frozenset(measures), lambda before, kept: (measures, None), ""
    )


def forbidden(name: str, names: str = "value") -> Work:
    def fail(before: Any, kept: Any) -> Any:
        raise AssertionError("it was measured before")

    return Work({"name": name}, name, frozenset(names.split()), fail, "")


@pytest.mark.slow
def test_processes_share_the_works(tmp_path: Path) -> None:
    several = [worker(tmp_path, 0.5) for _ in range(2)]
    assert [each.communicate(timeout=120)[0] for each in several] == ["6\n"] * 2
    assert sorted(begun(tmp_path)) == ["0", "1", "2", "3", "4", "5"], "each is measured once"
    by = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    of = {each["identity"]["job"]: each["measures"]["by"] for each in by}
    assert all(of[i] == of[i + 1] for i in (0, 2, 4)), "what goes together stays together"


@pytest.mark.slow
def test_a_killed_process_loses_one_entry(tmp_path: Path) -> None:
    first = worker(tmp_path, 600)
    deadline = time.monotonic() + 60
    while len(begun(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = worker(tmp_path, 0)
    assert second.communicate(timeout=120)[0] == "6\n"
    assert begun(tmp_path) == ["0", "1", "1", "2", "3", "4", "5"]


def test_entries_come_in_the_order_of_the_works_and_what_is_added_is_measured_alone(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    ledger.fill([work("b", 2)], "measuring")
    assert ledger.fill([work("a", 1), forbidden("b")], "measuring") == [{"value": 1}, {"value": 2}]


def test_what_was_cut_off_is_measured_by_the_next_call(tmp_path: Path) -> None:
    def cut(before: Any, kept: Any) -> Any:
        raise KeyboardInterrupt

    works = [work("a"), Work({"name": "b"}, "b", frozenset({"value"}), cut, "")]
    with pytest.raises(KeyboardInterrupt):
        Ledger(tmp_path).fill(works, "measuring")
    assert Ledger(tmp_path).fill([forbidden("a"), work("b")], "measuring") == [{"value": 1}] * 2


def test_a_measure_that_is_missing_is_made_of_the_draws(tmp_path: Path) -> None:
    draws = {"0.latents": torch.arange(4.0)}
    ledger = Ledger(tmp_path)
    first = Work({}, 0, frozenset({"a"}), lambda before, kept: ({"a": 1}, draws), "")
    ledger.fill([first], "measuring")
    seen = []

    def more(before: Any, kept: Any) -> Any:
        seen.append((before, kept))
        return {**before, "b": 2}, None

    later = Work({}, 0, frozenset({"a", "b"}), more, "")
    assert ledger.fill([later], "measuring") == [{"a": 1, "b": 2}]
    ((before, kept),) = seen
    assert before == {"a": 1}
    assert torch.equal(kept["0.latents"], draws["0.latents"])
    assert ledger.fill([later], "measuring") == [{"a": 1, "b": 2}], "and stays"
    assert len(seen) == 1


@pytest.mark.parametrize("content", ["[]", "{", '{"version": 3}', '{"setting": {}, "entries": []}'])
def test_what_is_no_entry_is_refused_before_anything_is_measured(
    tmp_path: Path, content: str
) -> None:
    ledger = Ledger(tmp_path)
    ledger.fill([work("a")], "measuring")
    ledger.path({"name": "a"}).write_text(content)
    with pytest.raises(InputError, match="holds no entry of an experiment: delete it"):
        ledger.fill([forbidden("b"), work("a")], "measuring")


def test_an_entry_of_another_version_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.fill([work("a")], "measuring")
    path = ledger.path({"name": "a"})
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(InputError, match="by version 2 of the measures, expected 3: delete it"):
        ledger.fill([work("a")], "measuring")


@pytest.mark.parametrize("file", ["entries", "above"])
def test_a_file_where_the_folder_should_be_is_refused_and_kept(tmp_path: Path, file: str) -> None:
    own = tmp_path / file
    own.write_text("mine")
    folder = own if file == "entries" else own / "entries"
    with pytest.raises(InputError, match=f"{file} is a file, expected a folder") as caught:
        Ledger(folder).fill([forbidden("a")], "measuring")
    assert str(own) in str(caught.value)
    assert own.read_text() == "mine"

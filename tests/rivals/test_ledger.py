"""Entries that processes share."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.rivals.ledger import Job, Ledger

WORKER = """
import os, sys, time
from pathlib import Path
from hvrt_diffuser.rivals.ledger import Job, Ledger

folder, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def job(i):
    def measure():
        with log.open("a") as file:
            file.write(f"{i}\\n")
        time.sleep(seconds)
        return {"by": os.getpid()}
    return Job({"job": i}, measure, lambda entry: "")

print(len(Ledger(folder, {}).fill([job(i) for i in range(6)], "measuring", "jobs")))
"""


def worker(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder), str(folder / "log"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def begun(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def job(name: str, value: Any = 1) -> Job:
    return Job({"name": name}, lambda: {"value": value}, lambda entry: str(entry["value"]))


def test_processes_share_the_jobs(tmp_path: Path) -> None:
    several = [worker(tmp_path, 0.5) for _ in range(3)]
    assert [each.communicate(timeout=120)[0] for each in several] == ["6\n"] * 3
    assert sorted(begun(tmp_path)) == ["0", "1", "2", "3", "4", "5"], "each is measured once"
    entries = Ledger(tmp_path, {}).entries()
    assert sorted(entry["job"] for entry in entries) == [0, 1, 2, 3, 4, 5]


def test_the_job_of_a_killed_process_is_taken_up(tmp_path: Path) -> None:
    first = worker(tmp_path, 600)
    deadline = time.monotonic() + 60
    while not begun(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = worker(tmp_path, 0)
    assert second.communicate(timeout=120)[0] == "6\n"
    assert begun(tmp_path) == ["0", "0", "1", "2", "3", "4", "5"]


def test_entries_come_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {"of": 1})
    ledger.fill([job("b", 2)], "measuring", "jobs")
    found = ledger.fill([job("a", 1), job("b", 0)], "measuring", "jobs")
    assert found == [{"name": "a", "value": 1}, {"name": "b", "value": 2}]
    assert ledger.entries() == found[::-1]


def test_settings_have_ledgers_of_their_own(tmp_path: Path) -> None:
    found = [
        Ledger(tmp_path, {"of": of}).fill([job("a", of)], "measuring", "jobs")[0]["value"]
        for of in (1, 2, 1)
    ]
    assert found == [1, 2, 1]


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {})
    ledger.fill([job("a")], "measuring", "jobs")
    ledger.path.write_text("[]")
    with pytest.raises(InputError, match="holds no measured entries: delete it"):
        ledger.fill([job("a")], "measuring", "jobs")

"""Tasks in this process and on workers: the same bytes, none lost, none done twice."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import counted_tasks
import pytest
import torch
from counted_tasks import COUNTED, RECORD, Counted, N, lesson, train_all
from pydantic import ValidationError
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common import worker
from hvrt_diffuser.common.engine import Engine, EngineOptions
from hvrt_diffuser.common.engines import opened
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.common.interruption import InterruptedWorkError, check
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.judge.rows import GENERATOR, _Few
from hvrt_diffuser.samplers import HVRTEstimator

pytest.importorskip("distributed")
from hvrt_diffuser.common.dask_engine import (  # needs the extra
    DaskEngine,
    FailedTaskError,
    disagreement,
)

MOST = 10_000  # bytes of a task on its way
AT_MOST = 10  # seconds that a worker outlives whoever it worked for


# ---- without a worker


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "tcp://127.0.0.1:8786"}, "kind local does without"),
        ({"kind": "dask", "address": "tcp://127.0.0.1:8786", "workers": 2}, "leave out workers"),
        ({"kind": "ray"}, "local"),
        ({"workers": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EngineOptions.model_validate(options)


def test_dask_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hvrt_diffuser.common.dask_engine")
    for name in [name for name in sys.modules if name.split(".")[0] in ("dask", "distributed")]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "dask":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(InputError, match=r"pip install 'hvrt-diffuser\[dask\]'"):
        opened(EngineOptions(kind="dask"), tmp_path).__enter__()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "nowhere", "tcp://no.such.host.test:1"])
def test_an_address_where_no_scheduler_listens(tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = address.format(free.getsockname()[1])
    options = EngineOptions(kind="dask", address=address)
    with pytest.raises(
        InputError, match=f"no scheduler of dask answers at engine.address {address}"
    ):
        opened(options, tmp_path / "tasks").__enter__()


def test_another_version_is_named() -> None:
    mine = worker.describe("/")
    assert disagreement("the scheduler", mine, mine) is None
    for name in ("python", "distributed", "torch", "hvrt_diffuser"):
        said = disagreement("the scheduler", mine, {**mine, name: "0.1"})
        assert said is not None
        assert said.startswith(f"the scheduler has {name} 0.1, expected {mine[name]} as in this")


def test_a_task_is_small_on_its_way() -> None:
    few = _Few(60_000, TrainingOptions(), HVRTEstimator(), Augmentation(), 0, "cpu")
    for kind, setting in ((COUNTED, Counted(lesson(0), "/record", 0.0)), (GENERATOR, few)):
        sent = (worker.do, kind, setting, "/a/path", "/another", "/a/third")
        assert len(pickle.dumps(sent)) < MOST


def test_a_finished_task_is_not_done_again(tmp_path: Path) -> None:
    setting, target = Counted(lesson(0), str(tmp_path / RECORD), 0.0), tmp_path / "own/result"
    target.parent.mkdir()
    target.write_text("done")
    assert worker.do(COUNTED, setting, "/missing", None, str(target)) == str(target)
    assert not (tmp_path / RECORD).exists()


def endless(setting: object, tensors: object) -> dict[str, Tensor]:
    while True:
        check()


def test_work_ends_once_nobody_waits_for_it(tmp_path: Path) -> None:
    write_tensors(tmp_path / "given", {}, {"kind": worker.GIVEN})
    kind = type(COUNTED)(endless, COUNTED.save, COUNTED.load)
    threading.Timer(0.2, (tmp_path / worker.STOP).touch).start()
    target = tmp_path / "own/result"
    with pytest.raises(InterruptedWorkError):
        worker.do(kind, None, str(tmp_path / "given"), None, str(target))
    assert not target.exists()
    check()  # what comes after is not given up


# ---- with workers


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskEngine]:
    folder = tmp_path_factory.mktemp("dask") / "tasks"
    with opened(EngineOptions(kind="dask", workers=2), folder) as engine:
        assert isinstance(engine, DaskEngine)
        yield engine
    assert not folder.exists()


def equal(found: list[dict[str, Tensor]], others: list[dict[str, Tensor]]) -> bool:
    return len(found) == len(others) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(found, others, strict=True)
    )


def recorded(record: Path, what: str) -> list[list[str]]:
    lines = record.read_text().splitlines() if record.exists() else []
    return [words for words in map(str.split, lines) if words[0] == what]


def wait_until(true: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited for {seconds} s"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [N // 10, N // 2, N * 9 // 10])
def test_a_killed_worker_loses_the_task_that_it_was_at(
    dask: DaskEngine, tmp_path: Path, killed_after: int
) -> None:
    record = tmp_path / RECORD

    def kill() -> None:
        wait_until(lambda: len(recorded(record, "ended")) >= killed_after)
        os.kill(int(recorded(record, "begun")[-1][2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = train_all(record, seconds=0.1)
    killer.join()
    begun = Counter(words[1] for words in recorded(record, "begun"))
    assert len(begun) == N
    assert begun.total() <= N + 1
    local = Engine(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_tasks, "current", lambda: local)
        assert equal(found, train_all(tmp_path / "local.txt"))
    left = [path.name for path in dask.folder.rglob("*") if path.name.endswith(".partial")]
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "kind", "said"),
    [
        ("input", InputError, "^this cannot be used: use another$"),
        (
            "bug",
            FailedTaskError,
            r"^training 7 \(its input is .*\) failed on a worker with Runtime",
        ),
        ("kill", FailedTaskError, r"^training 7 \(its input is .*\) ended all 4 workers"),
    ],
)
def test_a_failure_names_its_task(
    dask: DaskEngine, setting: str, kind: type[Exception], said: str
) -> None:
    refused = type(COUNTED)(counted_tasks.refuse, COUNTED.save, COUNTED.load)
    with pytest.raises(kind, match=said):
        dask.run(refused, "training 7", setting, {})


def alive(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_whoever_they_work_for(tmp_path: Path, number: signal.Signals) -> None:
    record = tmp_path / RECORD
    command = [sys.executable, counted_tasks.__file__, str(tmp_path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    wait_until(lambda: len(recorded(record, "ended")) >= 5)
    if number == signal.SIGINT:  # as a terminal does: to all processes
        os.killpg(process.pid, number)
    else:
        process.kill()
    pids = {words[2] for words in recorded(record, "begun")}
    assert len(pids) == 2
    wait_until(lambda: not any(map(alive, pids)), AT_MOST)
    process.communicate(timeout=AT_MOST)
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    begun = Counter(words[1] for words in recorded(record, "begun"))
    assert len(begun) == N
    assert begun.total() <= N + 2
    assert not (tmp_path / "tasks").exists()

"""Tasks in this process and on workers: the same bytes, none lost, none done twice."""

from __future__ import annotations

import json
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import counted_tasks
import pytest
import torch
from counted_tasks import COUNTED, FULL, LONG, RECORD, SAVED, Counted, N, lesson, train_all
from pydantic import ValidationError
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.common import worker
from hvrt_diffuser.common.engine import Engine, EngineOptions
from hvrt_diffuser.common.engines import opened
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.common.interruption import InterruptedWorkError, check
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.augmentation import Augmentation, FlipAndCrop
from hvrt_diffuser.judge.rows import GENERATOR, _Few
from hvrt_diffuser.judge.tstr import CLASSIFIER

pytest.importorskip("distributed")
import dask as dask_itself
import distributed

from hvrt_diffuser.common import dask_engine
from hvrt_diffuser.common.dask_engine import (
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
    judged = lesson(0)._replace(until=JudgeOptions(), augment=FlipAndCrop())
    tasks: list[tuple[Any, Any]] = [
        (COUNTED, Counted(judged, "/record", 0.0)),
        (CLASSIFIER, judged),
    ]
    for name in SAMPLERS.names():
        estimator = SAMPLERS.make(name, {}, "a test")
        few = _Few(60_000, TrainingOptions(), estimator, Augmentation(), 0, "cpu")
        tasks.append((GENERATOR, few))
    path = "/a/long/path/of/a/project" * 8
    for kind, setting in tasks:
        assert len(pickle.dumps((worker.do, kind, setting, path, path, path))) <= MOST


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


@pytest.fixture(scope="module")
def by_threads(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What all trainings find in this process, where nobody is killed."""
    local = Engine(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_tasks, "current", lambda: local)
        return train_all(tmp_path_factory.mktemp("local") / RECORD)


def partial(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith(".partial")]


def equal(found: list[dict[str, Tensor]], others: list[dict[str, Tensor]]) -> bool:
    return len(found) == len(others) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(found, others, strict=True)
    )


def recorded(record: Path, what: str) -> list[list[str]]:
    lines = record.read_text().splitlines() if record.exists() else []
    return [words for words in map(str.split, lines) if words[0] == what]


def wait_until(true: Callable[[], object], seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited for {seconds} s"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [N // 10, N // 2, N * 9 // 10])
def test_a_killed_worker_loses_the_task_that_it_was_at(
    dask: DaskEngine,
    tmp_path: Path,
    by_threads: list[dict[str, Tensor]],
    killed_after: int,
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
    assert equal(found, by_threads)
    saved = Counter((dask.folder.parent / SAVED).read_text().split())
    assert set(saved.values()) == {1}
    assert not partial(dask.folder)


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


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_of_a_result(dask: DaskEngine, tmp_path: Path) -> None:
    record = tmp_path / RECORD
    record.touch()  # so that the task takes no time
    before = sorted(dask.folder.rglob(FULL.file))
    with pytest.raises(FailedTaskError, match=r"^training 8 \(.*\) failed on a worker .*No space"):
        dask.run(FULL, "training 8", str(record), {})
    assert sorted(dask.folder.rglob(FULL.file)) == before
    assert not partial(dask.folder)
    assert dask.run(LONG, "training 8", str(record), {})["waited"] == 1  # now that there is room


@pytest.mark.slow
def test_a_worker_that_is_slow_to_be_there_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a cluster does by itself after 15 s, on a machine where a start takes longer.
    monkeypatch.setattr(dask_engine, "PATIENCE", 60)
    with (
        dask_itself.config.set({dask_engine.NEVER_GIVEN_UP: "1 ms"}),
        opened(EngineOptions(kind="dask", workers=1), tmp_path / "tasks") as engine,
        killed(tmp_path / RECORD),
    ):
        found = engine.run(LONG, "a long task", str(tmp_path / RECORD), {})
    assert found["waited"] == 1


@contextmanager
def killed(record: Path, pid: int | None = None) -> Iterator[None]:
    """A block in which the worker is killed that has begun a task, or another process."""

    def kill() -> None:
        wait_until(lambda: recorded(record, "begun"))
        os.kill(pid or int(recorded(record, "begun")[-1][2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


@contextmanager
def by_hand(folder: Path) -> Iterator[tuple[EngineOptions, subprocess.Popen[bytes]]]:
    """A scheduler and a worker as docs/scale.md starts them, the latter without a nanny."""
    file = folder / "scheduler.json"
    of_scheduler = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    of_worker = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for words in (["scheduler", *of_scheduler], ["worker", *of_worker]):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *words, "--no-dashboard"],
                    env=environment,
                    cwd=folder,
                    stderr=subprocess.DEVNULL,
                )
            )
            wait_until(file.exists)
        address = json.loads(file.read_text())["address"]
        yield EngineOptions(kind="dask", address=address), started[0]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("worker", "^no worker is left for a long task .*, and none has come for 1 s"),
        ("scheduler", "^the scheduler is gone that a long task .* was sent to"),
    ],
)
def test_who_is_gone_for_good_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, said: str
) -> None:
    monkeypatch.setattr(dask_engine, "PATIENCE", 1)
    monkeypatch.setattr(dask_engine, "LOOK_FOR_WORKERS", 0.1)
    record = tmp_path / RECORD
    with (
        by_hand(tmp_path) as (options, scheduler),
        pytest.raises(FailedTaskError, match=said),
        opened(options, tmp_path / "tasks") as engine,
        killed(record, scheduler.pid if who == "scheduler" else None),
    ):
        engine.run(LONG, "a long task", str(record), {})


class Older(distributed.Scheduler):
    """Of another version, as far as it says."""

    def versions(self, packages: list[str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = super().versions(packages)
        return {**found, "packages": {**found["packages"], "distributed": "2025.1.0"}}


@contextmanager
def started(
    scheduler: type[distributed.Scheduler] = distributed.Scheduler, **worker: Any
) -> Iterator[EngineOptions]:
    """A scheduler that is there, with a worker by these options, or none."""
    here = {"host": "127.0.0.1", "dashboard": False}
    # Only what is done before all else needs a process of its own.
    kind = distributed.Nanny if "preload" in worker else distributed.Worker
    own = {0: {"cls": kind, "options": {**here, **worker}}} if worker else {}
    with distributed.SpecCluster(own, {"cls": scheduler, "options": here}) as cluster:
        yield EngineOptions(kind="dask", address=cluster.scheduler_address)


def refusal(options: EngineOptions, folder: Path, *, gpu: bool = False) -> str:
    with pytest.raises(InputError) as refused:
        opened(options, folder, gpu=gpu).__enter__()
    return str(refused.value)


def test_a_scheduler_of_another_version(tmp_path: Path) -> None:
    with started(Older) as options:
        said = refusal(options, tmp_path / "tasks")
    assert said.startswith("the scheduler has distributed 2025.1.0, expected 20")


def test_a_scheduler_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "CONNECT", 1)
    with started() as options:
        said = refusal(options, tmp_path / "tasks")
    assert "has no workers, expected at least one: start it by 'dask worker tcp://" in said


WITHOUT_THE_PACKAGE = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.startswith("hvrt_diffuser"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
OF_ANOTHER_VERSION = """
from hvrt_diffuser.common import worker
worker.code = lambda: "0.1 (12345678)"
"""
WITHOUT_THE_FOLDER = """
import errno
import os
def no_stat(path, *arguments, stat=os.stat, **named):
    if "tasks" in str(path):
        raise FileNotFoundError(errno.ENOENT, "not on this machine", str(path))
    return stat(path, *arguments, **named)
os.stat = no_stat
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "said"),
    [
        (WITHOUT_THE_PACKAGE, "cannot load hvrt_diffuser (ModuleNotFoundError"),
        (OF_ANOTHER_VERSION, "has hvrt_diffuser 0.1 (12345678), expected"),
        (WITHOUT_THE_FOLDER, "expected a folder that all machines share"),
    ],
)
def test_a_worker_that_is_not_set_up_alike(tmp_path: Path, before: str, said: str) -> None:
    preload = tmp_path / "before.py"
    preload.write_text(before)
    with started(nthreads=1, preload=[str(preload)]) as there:
        found = refusal(there, tmp_path / "tasks")
    assert said in found
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "gpu", "said"),
    [
        ({"nthreads": 2}, False, "has 2 threads, expected one"),
        ({"nthreads": 1}, True, "a device cuda is asked for and 0 of 1 workers offer a GPU"),
    ],
)
def test_a_worker_that_was_started_otherwise(
    tmp_path: Path, options: dict[str, Any], gpu: bool, said: str
) -> None:
    with started(**options) as there:
        found = refusal(there, tmp_path / "tasks", gpu=gpu)
    assert said in found
    assert len(found.splitlines()) == 1


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
    try:
        wait_until(lambda: len(recorded(record, "ended")) >= 5)
    finally:
        if number == signal.SIGINT:  # as a terminal does: to all processes
            os.killpg(process.pid, number)
        else:
            process.kill()
    pids = {words[2] for words in recorded(record, "begun")}
    assert len(pids) == 2
    wait_until(lambda: not any(map(alive, pids)), AT_MOST)
    process.communicate(timeout=AT_MOST)
    if number == signal.SIGINT:
        assert not partial(tmp_path)
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    begun = Counter(words[1] for words in recorded(record, "begun"))
    assert len(begun) == N
    assert begun.total() <= N + 2
    assert not (tmp_path / "tasks").exists()

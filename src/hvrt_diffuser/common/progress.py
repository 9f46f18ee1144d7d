"""Progress of long work: a bar on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["hidden", "progress", "rate"]

logger = logging.getLogger(__name__)

_hidden = False


def rate(speed: float | None) -> str:
    """So many a second, or a minute or an hour where fewer than one is done in less."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if speed and (speed * seconds >= 1 or unit == "h"):
            return f"{speed * seconds:.1f}/{unit}"
    return ""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(rate(task.finished_speed or task.speed))


COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    _Rate(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


def _unseen(_: str = "") -> None:
    """Count nothing."""


@contextmanager
def hidden() -> Iterator[None]:
    """A block of which another process shows the progress, whatever this one does in it."""
    global _hidden  # noqa: PLW0603  # workers share their driver's terminal
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


@contextmanager
def progress(
    description: str, total: int, unit: str, *, shown: bool = True
) -> Iterator[Callable[[str], None]]:
    """Yield a function that counts one more ``unit`` of ``total`` done, with a short note.

    Where it is not ``shown``, another process shows it.
    """
    if _hidden or not shown:
        yield _unseen
        return
    start = time.perf_counter()
    latest = ""
    console = Console(stderr=True)
    bar = Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(description, total=total, note="")

        def advance(note: str = "") -> None:
            nonlocal latest
            latest = note
            bar.update(task, advance=1, note=note)

        yield advance
    seconds = time.perf_counter() - start
    logger.info(
        "%s: %d %s in %.0f s%s", description, total, unit, seconds, latest and f", {latest}"
    )

"""Progress of long work: a bar on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress"]

logger = logging.getLogger(__name__)

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


@contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that counts one more ``unit`` of ``total`` done, with a short note."""
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

"""What a run ran on, and how much memory it took."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

__all__ = [
    "anonymous",
    "anonymous_peak",
    "describe_machine",
    "free_memory",
    "memory",
    "reset_peak",
    "total_memory",
]

PACKAGES = ("hvrt_diffuser", "torch", "hvrt", "kedro", "numpy", "scikit-learn")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEMINFO = Path("/proc/meminfo")
RESET_PEAK = "5"
EVERY = 0.002  # seconds between two looks at the anonymous memory


def describe_machine() -> dict[str, Any]:
    """Processor, system and versions, as JSON."""
    return {
        "processor": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def free_memory() -> float | None:
    """MB that a process may still take without swapping; None where the system does not tell."""
    return _meminfo("MemAvailable")


def total_memory() -> float | None:
    """MB that the machine has; None where the system does not tell."""
    return _meminfo("MemTotal")


def _meminfo(field: str) -> float | None:
    if not MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return int(fields[field].split()[0]) * 1024 / 1e6


def reset_peak() -> None:
    """Let the peak of the memory start from what is held now, where the system can (Linux)."""
    if CLEAR.exists():
        CLEAR.write_text(RESET_PEAK)


def memory() -> tuple[float, float] | None:
    """MB held now, and at most since :func:`reset_peak`; None where the system does not tell."""
    if not STATUS.exists():
        return None
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    now, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, peak


@contextmanager
def anonymous_peak() -> Iterator[list[float]]:
    """MB of anonymous memory that a block takes at most, beyond what there was before it (Linux).

    Pages of mapped files do not count: the system drops them where memory is short. A thread looks
    every two milliseconds, so what stands for less is missed.

    Yields:
        A list, which holds the figure after the block.
    """
    found: list[float] = []
    before, peak, over = anonymous(), 0.0, Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(EVERY):
            peak = max(peak, anonymous())

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.append(max(peak, anonymous()) - before)


def anonymous() -> float:
    """MB of this process that no file holds (Linux)."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024 / 1e6

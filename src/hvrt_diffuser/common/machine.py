"""What a run ran on, and how much memory it took."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["describe_machine", "memory", "reset_peak", "total_memory"]

PACKAGES = ("hvrt_diffuser", "torch", "hvrt", "kedro", "numpy", "scikit-learn")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


def describe_machine() -> dict[str, Any]:
    """Processor, system and versions, as JSON."""
    return {
        "processor": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


@cache
def total_memory() -> int | None:
    """Bytes that this process may have at most; None where the system does not tell."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = LIMIT.read_text().strip() if LIMIT.exists() else ""
    return min(physical, int(limit)) if limit.isdecimal() else physical


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

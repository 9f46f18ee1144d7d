"""How this process was started: alone, or by torchrun as one of several.

torchrun says so in the environment (https://docs.pytorch.org/docs/stable/elastic/run.html).
Clusters set some of the same variables for whatever they start, which would wait for others that
never come: they count only beside torchrun's own.
"""

from __future__ import annotations

import os

__all__ = ["is_first", "local_rank", "local_size", "program", "rank", "world_size"]


TORCHRUN = "TORCHELASTIC_RUN_ID"


def _told(name: str, alone: int) -> int:
    return int(os.environ.get(name, alone)) if TORCHRUN in os.environ else alone


def world_size() -> int:
    """How many processes torchrun started, on all machines."""
    return _told("WORLD_SIZE", 1)


def rank() -> int:
    """Which of them this one is."""
    return _told("RANK", 0)


def local_size() -> int:
    """How many of them it started on this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def local_rank() -> int:
    """Which of those this one is."""
    return _told("LOCAL_RANK", 0)


def is_first() -> bool:
    """Whether this process does a run: alone, or as the one of several that the others join."""
    return rank() == 0


def program(alone: str, module: str) -> str:
    """What was typed before the arguments.

    Args:
        alone: where one process was started.
        module: that torchrun started several of.
    """
    if world_size() == 1:
        return alone
    machines = world_size() // local_size()
    several = f"--nnodes {machines} " if machines > 1 else ""
    return f"torchrun {several}--nproc-per-node {local_size()} -m {module}"

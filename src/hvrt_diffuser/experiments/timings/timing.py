"""Two ways to do the same thing, timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Entry", "side_by_side", "timed"]


@dataclass(frozen=True)
class Entry:
    """One line of the result.

    Attributes:
        name: what was measured.
        ours: the figure of this project.
        theirs: the figure that it is compared with; None where that could not be run.
        unit: of both.
        ratio: as the name says; None where there is nothing to compare with.
    """

    name: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None


T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How many seconds a piece of work takes, once, and what it returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def side_by_side(
    name: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int
) -> Entry:
    """Time two pieces of work in turn, after one call of each that does not count.

    A neighbour on the machine slows both in a round, so the ratio is the median of those of the
    rounds: how many times faster ours is.
    """
    ours()
    theirs()
    pairs = [(timed(ours)[0], timed(theirs)[0]) for _ in range(rounds)]
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    mine, other = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return Entry(name, mine, other, "ms", ratio)

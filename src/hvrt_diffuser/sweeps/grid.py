"""The points of a sweep: every combination of its values, for every seed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SEED", "Grid", "Point", "Value"]

Value = None | bool | int | float | str
Point = dict[str, Value]
SEED = "seed"


@dataclass(frozen=True)
class Grid:
    """Values of some parameters.

    Attributes:
        axes: the values by parameter.
        seeds: repetitions of every combination.
        only: combinations, of all that there are; None takes all.
    """

    axes: Mapping[str, Sequence[Value]]
    seeds: int
    only: Sequence[Point] | None = None

    @classmethod
    def of(cls, combinations: Sequence[Point], seeds: int) -> Grid:
        """Some combinations of the same parameters, each with ``seeds`` repetitions."""
        names = list(combinations[0])
        axes = {name: list(dict.fromkeys(c[name] for c in combinations)) for name in names}
        return cls(axes, seeds, combinations)

    def choices(self) -> dict[str, Sequence[Value]]:
        """The values by parameter, with the seeds as the last one."""
        return {**self.axes, SEED: list(range(self.seeds))}

    def points(self) -> list[Point]:
        """All points; those of one seed stand together, and the first axis varies slowest.

        So that what was made for one point can serve the next.
        """
        combinations = self.only
        if combinations is None:
            combinations = [
                dict(zip(self.axes, values, strict=True))
                for values in itertools.product(*self.axes.values())
            ]
        return [
            {**combination, SEED: seed}
            for seed in range(self.seeds)
            for combination in combinations
        ]

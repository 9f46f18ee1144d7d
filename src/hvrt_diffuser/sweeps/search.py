"""A joint search: points that Optuna proposes, for fidelity, utility and novelty at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from hvrt_diffuser.files import Turn
from hvrt_diffuser.progress import progress
from hvrt_diffuser.seeding import derive_seed
from hvrt_diffuser.sweeps.grid import SEED, Point, Value
from hvrt_diffuser.sweeps.study import MEASURES, Measured, Measures, open_study

__all__ = ["OBJECTIVES", "Search"]

OBJECTIVES: dict[str, Literal["minimize", "maximize"]] = {
    "fd": "minimize",
    "tstr": "maximize",
    "dcr_image": "maximize",
}


@dataclass(frozen=True)
class Search:
    """A space of points, and the study that keeps what was measured of it.

    Attributes:
        space: the values by parameter.
        study: its trials have the values of :data:`OBJECTIVES`, and all measures as an attribute.
        seed: of the proposals.
    """

    space: Mapping[str, Sequence[Value]]
    study: optuna.Study
    seed: int

    @classmethod
    def open(
        cls,
        storage: str,
        name: str,
        space: Mapping[str, Sequence[Value]],
        setting: Mapping[str, Any],
        turn: Path,
        seed: int,
    ) -> Search:
        """Open the study of a search, or make it; see :meth:`hvrt_diffuser.sweeps.Sweep.open`."""
        identity = [dict(space), setting]
        study = open_study(storage, name, identity, OBJECTIVES, setting, Turn(turn))
        return cls(space, study, seed)

    def run(self, measure: Callable[[Point], Measures], trials: int) -> Measured:
        """Measure until the study holds so many different points, and give the best.

        Proposals are those of the tree-structured Parzen estimator (Ozaki et al. 2022, for several
        objectives). Processes may share a study, and a search that is killed goes on from the
        trials that are there. A point that was measured before is not measured again.

        Args:
            measure: gives the measures of a point, whose ``seed`` is 0.
            trials: different points in the end, those of earlier calls among them.

        Returns:
            The points that no other is better than in all objectives, with their measures.
        """

        def objective(trial: optuna.Trial) -> tuple[float, ...]:
            point: Point = {
                key: trial.suggest_categorical(key, values) for key, values in self.space.items()
            }
            known = next((t for t in self._complete() if t.params == point), None)
            measures = known.user_attrs[MEASURES] if known else measure({**point, SEED: 0})
            trial.set_user_attr(MEASURES, dict(measures))
            values = (measures[name] for name in OBJECTIVES)
            return tuple(value for value in values if value is not None)

        reachable = 1
        for values in self.space.values():
            reachable *= len(values)
        done, total = 0, min(trials, reachable)
        with progress(f"searching {self.study.study_name}", total, "points") as advance:
            while True:
                found = self._different()
                for trial in found[done:total]:
                    advance(", ".join(f"{k} {v:.4g}" for k, v in self._values(trial).items()))
                done = len(found)
                if done >= total:
                    return self._best(found)
                # A sampler of its own for each proposal: what it proposes depends on the trials
                # that are there, and not on how often a search was cut off.
                self.study.sampler = optuna.samplers.TPESampler(
                    seed=derive_seed(self.seed, "search", len(self.study.trials)) % 2**32,
                    multivariate=True,
                    constant_liar=True,
                )
                self.study.optimize(objective, n_trials=1)

    def _complete(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def _different(self) -> list[FrozenTrial]:
        """The first trial of each point, in the order of their numbers."""
        found: list[FrozenTrial] = []
        for trial in self._complete():
            if not any(trial.params == other.params for other in found):
                found.append(trial)
        return found

    @staticmethod
    def _values(trial: FrozenTrial) -> dict[str, float]:
        return dict(zip(OBJECTIVES, trial.values, strict=True))

    def _best(self, trials: Sequence[FrozenTrial]) -> Measured:
        """The Pareto front."""
        signs = [1 if direction == "minimize" else -1 for direction in OBJECTIVES.values()]
        losses = [
            [sign * value for sign, value in zip(signs, trial.values, strict=True)]
            for trial in trials
        ]
        return [
            (dict(trial.params), trial.user_attrs[MEASURES])
            for trial, own in zip(trials, losses, strict=True)
            if not any(
                all(a <= b for a, b in zip(other, own, strict=True)) and other != own
                for other in losses
            )
        ]

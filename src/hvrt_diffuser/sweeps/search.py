"""A joint search: points that Optuna proposes, for fidelity, utility and novelty at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.sweeps.grid import SEED, Point, Value
from hvrt_diffuser.sweeps.study import MEASURES, PATIENCE, Measured, Measures, open_study

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
        turn: taken by the process that is given a point, so that it knows of those under way.
        seed: of the proposals.
    """

    space: Mapping[str, Sequence[Value]]
    study: optuna.Study
    turn: Turn
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
        own = Turn(turn)
        study = open_study(storage, name, identity, OBJECTIVES, setting, own)
        return cls(space, study, own, seed)

    def run(self, measure: Callable[[Point], Measures], trials: int) -> Measured:
        """Measure until the study holds so many different points, and give the best.

        Proposals are those of the tree-structured Parzen estimator (Ozaki et al. 2022, for several
        objectives). Processes may share a study: each waits for the others' last points, and all
        give the same. A search that is killed goes on from the trials that are there. A point that
        was measured before is not measured again.

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
            self.turn.give()  # others see this point from now on
            known = next((t for t in self._trials(TrialState.COMPLETE) if t.params == point), None)
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
                found = self._different(TrialState.COMPLETE)
                for trial in found[done:total]:
                    advance(", ".join(f"{k} {v:.4g}" for k, v in self._values(trial).items()))
                done = len(found)
                if done >= total:
                    return self._best(found)
                with self.turn:
                    fail_stale_trials(self.study)
                    under_way = self._different(TrialState.COMPLETE, TrialState.RUNNING)
                    missing = len(under_way) < total
                    if missing:
                        self._propose_anew()
                        self.study.optimize(objective, n_trials=1)
                if not missing:
                    time.sleep(PATIENCE)

    def _propose_anew(self) -> None:
        """Take a sampler of its own for the next proposal.

        What it proposes depends on the trials that are there, and not on how often a search was
        cut off.
        """
        self.study.sampler = optuna.samplers.TPESampler(
            seed=derive_seed(self.seed, "search", len(self.study.trials)) % 2**32,
            multivariate=True,
            constant_liar=True,
        )

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _different(self, *states: TrialState) -> list[FrozenTrial]:
        """The first trial of each point, in the order of their numbers."""
        found: list[FrozenTrial] = []
        for trial in self._trials(*states):
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

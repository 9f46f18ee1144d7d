"""Points of a sweep as trials of an Optuna study: shared by processes, and never run twice.

Optuna stores the trials; which are missing is decided here, since its grid sampler may give one
point to two processes, and takes a trial that was killed for one that is under way.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.sweeps.grid import Grid, Point

__all__ = ["DIRECTIONS", "MEASURES", "PATIENCE", "Measured", "Measures", "Sweep", "open_study"]

HEARTBEAT = 10  # seconds between two signs of life of a trial
GRACE = 60  # seconds without one after which its process is taken for dead
PATIENCE = 2.0  # seconds between two looks at the trials of other processes
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"fd": "minimize", "tstr": "maximize"}
MEASURES = "measures"

Measures = Mapping[str, float | None]
Measured = list[tuple[Point, Measures]]


def open_study(
    storage: str,
    name: str,
    identity: Any,
    directions: Mapping[str, Literal["minimize", "maximize"]],
    setting: Mapping[str, Any],
    turn: Turn,
) -> optuna.Study:
    """The study of a name that ends in digits of what its trials share, made if it is not there.

    Args:
        storage: an Optuna URL.
        name: how the study's name begins.
        identity: JSON; another one has a study of its own.
        directions: by objective.
        setting: JSON, kept beside the trials for people.
        turn: taken meanwhile, since SQLite cannot make the tables of a new file twice at once.

    Raises:
        InputError: the storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Heartbeats and names of metrics are experimental, which is nothing that a run can act on.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    text = json.dumps(identity, sort_keys=True)
    with turn:
        try:
            database = RDBStorage(storage, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
        except Exception as error:  # whatever the driver of the database raises
            raise InputError(
                f"the storage {storage} cannot be opened ({str(error).splitlines()[0]}), expected "
                "the URL of a database, such as sqlite:///sweeps.db: correct hpo.storage"
            ) from error
        study = optuna.create_study(
            storage=database,
            study_name=f"{name} {hashlib.sha256(text.encode()).hexdigest()[:8]}",
            directions=list(directions.values()),
            load_if_exists=True,
        )
        study.set_metric_names(list(directions))
        study.set_user_attr("setting", dict(setting))
    return study


@dataclass(frozen=True)
class Sweep:
    """A grid, and the study that keeps what was measured of it.

    Attributes:
        grid: the points.
        study: its trials have the values of :data:`DIRECTIONS`, and all measures as an attribute.
        turn: taken by the process that takes up a trial. SQLite alone would give one trial to two.
    """

    grid: Grid
    study: optuna.Study
    turn: Turn

    @classmethod
    def open(
        cls, storage: str, name: str, grid: Grid, setting: Mapping[str, Any], turn: Path
    ) -> Sweep:
        """Open the study of a sweep, or make it.

        Its name ends in digits that depend on the grid and the setting: what was measured under
        other ones stays in a study of its own.

        Args:
            storage: an Optuna URL, such as ``sqlite:///sweeps.db``.
            name: of the sweep.
            grid: its points.
            setting: JSON; what all points share.
            turn: a file that the processes of this machine agree on.

        Raises:
            InputError: the storage cannot be opened.
        """
        own = Turn(turn)
        study = open_study(storage, name, [grid.points(), setting], DIRECTIONS, setting, own)
        return cls(grid, study, own)

    def measured(self) -> Measured:
        """The points that were measured, in the grid's order, with their measures."""
        found = []
        complete = self._trials(TrialState.COMPLETE)
        for point in self.grid.points():
            trial = next((trial for trial in complete if trial.params == point), None)
            if trial:
                found.append((point, trial.user_attrs[MEASURES]))
        return found

    def run(self, measure: Callable[[Point], Measures]) -> Measured:
        """Measure what no process has measured, and wait for what another is about to.

        A point whose process was killed is taken up :data:`GRACE` seconds later; one that was
        interrupted, or whose measurement raised, by the next call.

        Args:
            measure: gives the measures of a point, ``fd`` and ``tstr`` among them.

        Returns:
            All points with their measures, in the grid's order.
        """
        latest = ""

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            nonlocal latest
            self.turn.give()  # this trial is taken
            point = {
                name: trial.suggest_categorical(name, values)
                for name, values in self.grid.choices().items()
            }
            if self._taken(trial.number, point):  # another machine has put it into the queue, too
                raise optuna.TrialPruned
            measures = measure(point)
            trial.set_user_attr(MEASURES, dict(measures))
            latest = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in point.items())
            fd, tstr = (measures[name] for name in DIRECTIONS)
            assert fd is not None and tstr is not None
            return fd, tstr

        done, total = 0, len(self.grid.points())
        with progress(f"measuring {self.study.study_name}", total, "points") as advance:
            while True:
                now = len(self.measured())
                for _ in range(now - done):
                    advance(latest or "some of them earlier")
                done = now
                if done == total:
                    return self.measured()
                with self.turn:
                    fail_stale_trials(self.study)
                    self._enqueue_missing()
                    waiting = bool(self._trials(TrialState.WAITING))
                    if waiting:
                        self.study.optimize(objective, n_trials=1)
                if not waiting:
                    time.sleep(PATIENCE)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _taken(self, number: int, point: Point) -> bool:
        """Whether another trial has measured the point, or began to before this one."""
        return any(
            trial.params == point
            for trial in self._trials(TrialState.COMPLETE, TrialState.RUNNING)
            if trial.number < number
            or (trial.state == TrialState.COMPLETE and trial.number != number)
        )

    def _enqueue_missing(self) -> None:
        held = [
            trial.system_attrs.get("fixed_params", trial.params)
            for trial in self._trials(TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        ]
        for point in self.grid.points():
            if point not in held:
                self.study.enqueue_trial(point)

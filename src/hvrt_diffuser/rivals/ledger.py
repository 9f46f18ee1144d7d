"""Entries that were measured, on disk, for processes to share and to go on from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn, whole_file
from hvrt_diffuser.common.progress import progress

__all__ = ["Entry", "Job", "Ledger"]

PATIENCE = 1.0  # seconds between two looks at what other processes have measured

Entry = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Something that is measured once.

    Attributes:
        identity: JSON that no other job has, and that becomes part of the entry.
        measure: gives the rest of the entry, as JSON.
        note: of its progress, from the entry.
    """

    identity: Mapping[str, Any]
    measure: Callable[[], Entry]
    note: Callable[[Entry], str]


class Ledger:
    """The entries of one setting.

    Any number of processes may fill it at once: each takes a job that no other is at, and an entry
    is there as soon as it has been measured. The system takes a job from a process that is killed.

    Args:
        folder: of the ledgers of all settings; it need not exist yet.
        setting: JSON, what entries must share to be compared.
    """

    def __init__(self, folder: Path, setting: Mapping[str, Any]) -> None:
        self.setting = dict(setting)
        self.path = folder / f"{_key(self.setting)}.json"
        self._turns = folder / "turns"

    def entries(self) -> list[Entry]:
        """All that were measured, in the order in which they were.

        Raises:
            InputError: the file is no ledger.
        """
        if not self.path.exists():
            return []
        try:
            found: list[Entry] = json.loads(self.path.read_text())["entries"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.path} holds no measured entries: delete it to measure them again"
            ) from None
        return found

    def fill(self, jobs: Sequence[Job], description: str, unit: str) -> list[Entry]:
        """Measure what is missing, and wait for what others are at.

        Args:
            jobs: in their order.
            description: of the progress.
            unit: of the progress, in the plural.

        Returns:
            An entry for each job.
        """
        found = self._known(jobs)
        with progress(description, found.count(None), unit) as advance:
            while None in found:
                free = [job for job, entry in zip(jobs, found, strict=True) if entry is None]
                if not any(self._measure(job) for job in free):
                    time.sleep(PATIENCE)
                before, found = found, self._known(jobs)
                for job, old, new in zip(jobs, before, found, strict=True):
                    if old is None and new is not None:
                        advance(job.note(new))
        return [entry for entry in found if entry is not None]

    def _measure(self, job: Job) -> bool:
        """Measure a job, unless another process is at it; whether its entry is there now."""
        turn = Turn(self._turns / f"{_key([self.setting, job.identity])}.lock")
        if not turn.take_if_free():
            return False
        try:
            if self._known([job]) == [None]:
                self._add({**job.identity, **job.measure()})
        finally:
            turn.give()
        return True

    def _add(self, entry: Entry) -> None:
        with Turn(self._turns / f"{self.path.stem}.lock"), whole_file(self.path) as temporary:
            content = {"setting": self.setting, "entries": [*self.entries(), entry]}
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

    def _known(self, jobs: Sequence[Job]) -> list[Entry | None]:
        entries = self.entries()

        def entry_of(job: Job) -> Entry | None:
            own = json.loads(json.dumps(job.identity))  # as it was read
            return next((e for e in entries if all(e.get(k) == v for k, v in own.items())), None)

        return [entry_of(job) for job in jobs]


def _key(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

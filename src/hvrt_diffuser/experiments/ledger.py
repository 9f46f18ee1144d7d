"""What was measured, on disk: a file for each entry, for processes to share and to go on from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn, read_tensors, whole_file, write_tensors
from hvrt_diffuser.common.progress import progress

__all__ = ["Entry", "Ledger", "Work", "hashed"]

VERSION = 3  # counts the changes of how things are measured: entries from before do not compare
KIND = "draws"
PATIENCE = 1.0  # seconds between two looks at what other processes have measured

Entry = dict[str, Any]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Work:
    """Something that is measured once.

    Attributes:
        identity: JSON of all that it depends on.
        together: JSON; entries that have it in common are measured by one process at a time, one
            after the other, since they share what takes long.
        names: of the measures that its entry has to have.
        measure: gives them, and the draws to keep, from those that are kept already (None where
            there are no draws; the measures then count for nothing).
        note: of its progress.
    """

    identity: Mapping[str, Any]
    together: Any
    names: frozenset[str]
    measure: Callable[[Entry, Tensors | None], tuple[Entry, Tensors | None]]
    note: str


class Ledger:
    """A folder of entries, each named by the hash of all that it depends on.

    An entry is written whole, and beside it the draws that it was measured on, so that a measure
    it lacks costs no fit. The system takes a work from a process that is killed: one entry is lost.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, works: Sequence[Work], description: str) -> list[Entry]:
        """Measure what is missing, and wait for what other processes are at.

        Returns:
            The measures of each work.

        Raises:
            InputError: an entry is broken, or of another version of the measures; before anything
                is measured.
        """
        found = [self.known(work) for work in works]
        with progress(description, found.count(None), "entries") as advance:
            while None in found:
                missing = (place for place, entry in enumerate(found) if entry is None)
                if not any(self._attempt(works, found, place, advance) for place in missing):
                    time.sleep(PATIENCE)
        return [entry for entry in found if entry is not None]

    def _attempt(
        self,
        works: Sequence[Work],
        found: list[Entry | None],
        first: int,
        advance: Callable[[str], None],
    ) -> bool:
        """Measure all that go together with a work, unless another process is at them."""
        together = works[first].together
        with self.turn(together) as free:
            for place, work in enumerate(works):
                if found[place] is None and work.together == together:
                    found[place] = self.measured(work) if free else self.known(work)
                    if found[place] is not None:
                        advance(work.note)
        return free

    @contextmanager
    def turn(self, together: Any) -> Iterator[bool]:
        """Take what goes together unless another process has it; whether this one has it now."""
        turn = Turn(self.folder / "turns" / f"{hashed(together)}.lock")
        try:
            yield turn.take_if_free()
        finally:
            turn.give()

    def measured(self, work: Work) -> Entry:
        """The measures of a work, whose turn is taken, measured if they are not there."""
        known = self.known(work)
        if known is not None:
            return known
        before = self._read(work.identity) or {}
        kept = self.draws(work.identity) if before else None
        measures, draws = work.measure(before, kept)
        path = self.path(work.identity)
        if draws is not None:
            write_tensors(path.with_suffix(".safetensors"), draws, {"kind": KIND})
        content = {"version": VERSION, "identity": dict(work.identity), "measures": measures}
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        return measures

    def known(self, work: Work) -> Entry | None:
        """The measures of a work, if all that it has to have are there."""
        found = self._read(work.identity)
        return found if found is not None and work.names <= found.keys() else None

    def path(self, identity: Mapping[str, Any]) -> Path:
        """The file of an entry."""
        return self.folder / f"{hashed(identity)}.json"

    def draws(self, identity: Mapping[str, Any]) -> Tensors | None:
        """The draws that were kept of an entry; None where there are none."""
        path = self.path(identity).with_suffix(".safetensors")
        return read_tensors(path, KIND)[0] if path.exists() else None

    def _read(self, identity: Mapping[str, Any]) -> Entry | None:
        path = self.path(identity)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            version, measures = content["version"], dict(content["measures"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                f"{path} holds no entry of an experiment: delete it to measure it again"
            ) from None
        if version != VERSION:
            raise InputError(
                f"{path} was measured by version {version} of the measures, expected {VERSION}: "
                f"delete it to measure it again, or move {self.folder} away"
            )
        return measures


def hashed(identity: Any) -> str:
    """16 hexadecimal digits that depend on JSON alone."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

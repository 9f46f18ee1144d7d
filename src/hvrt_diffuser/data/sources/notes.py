"""What was done with which files on the way in, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Note", "Tally", "as_json", "listed"]

LISTED = 5  # as many of a long list of names as a sentence bears


@dataclass(frozen=True)
class Note:
    """One thing that was done, or seen.

    Attributes:
        what: in a few words, such as ``turned upright by EXIF``.
        n: how many files or rows, None where it is no matter of number.
        names: of the first of them.
    """

    what: str
    n: int | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, what: str, names: Sequence[str]) -> Note:
        """A note on all of these, which keeps the first names."""
        return cls(what, len(names), tuple(names[:LISTED]))

    def __str__(self) -> str:
        """One line."""
        if self.n is None:
            return self.what
        more = ", ..." if self.n > len(self.names) else ""
        return f"{self.what}: {self.n:,}" + (f" ({', '.join(self.names)}{more})" * bool(self.names))


@dataclass
class Tally:
    """How many files or rows there were of a kind, and the names of the first ones."""

    n: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more of them."""
        self.n += 1
        if self.n <= LISTED:
            self.names.append(name)

    def note(self, what: str) -> Note:
        """A note on all of them."""
        return Note(what, self.n, tuple(self.names))


def as_json(notes: Sequence[Note]) -> list[dict[str, Any]]:
    """``what``, ``n`` and ``names`` of each."""
    return [{"what": note.what, "n": note.n, "names": list(note.names)} for note in notes]


def listed(names: Sequence[str], most: int = LISTED) -> str:
    """Names in a sentence: the first ones, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

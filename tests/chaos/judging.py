"""What the end of a command is called, and what is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chaos.processes import Outcome

Expected = Literal["refused", "fine", "either"]
ERRNO = "[Errno"  # as the system says it
SENTENCE = 20  # characters: less says neither what was found nor what to do
TRACEBACK = "Traceback (most recent call last)"
FAULT = "which is a fault of this program"  # the command line keeps the traceback in a file
PASSED = ("one_sentence", "fine")


@dataclass(frozen=True)
class Judged:
    """A case and what became of it.

    Attributes:
        name: ``inputs:17`` or ``kills:3``, by which it can be repeated.
        kind: of the input or of the command.
        what: the case in words.
        result: one word; those of PASSED and ``identical`` are what should be.
        detail: what was said, or what differs.
        leftovers: temporary files and checkpoints that stayed.
    """

    name: str
    kind: str
    what: str
    result: str
    detail: str = ""
    leftovers: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> bool:
        """Whether it is not as it should be."""
        return self.result not in (*PASSED, "identical") or bool(self.leftovers)

    def describe(self) -> str:
        """One line."""
        left = f"; left: {', '.join(self.leftovers)}" if self.leftovers else ""
        detail = " ".join(self.detail.split())[-300:]
        return f"{self.name} {self.kind}, {self.what}: {self.result}: {detail}{left}"


def judge_input(
    outcome: Outcome,
    expected: Expected,
    names: Iterable[str] = (),
    lost: Iterable[str] = (),
) -> tuple[str, str]:
    """What the end of a command with an input is called, and why.

    Args:
        outcome: of the command.
        expected: ``refused`` in one sentence, ``fine``, or ``either``.
        names: of which the sentence has to hold one, or it is about something else.
        lost: files that are gone or changed, and should not be.

    Returns:
        ``one_sentence``, ``fine``, ``hung``, ``traceback``, ``silent`` (broken and taken),
        ``no_sentence`` (several, none, or the system's own words), ``about_something_else``,
        ``wrongly_refused`` or ``lost``.
    """
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if outcome.code is None:
        return "hung", f"no end after {outcome.seconds:.0f} s: {last}"
    if TRACEBACK in outcome.stdout + outcome.stderr or FAULT in outcome.stderr:
        return "traceback", last
    if lost := [*lost]:
        return "lost", ", ".join(lost)
    if outcome.code == 0:
        return ("silent", "exit code 0") if expected == "refused" else ("fine", "")
    return ("wrongly_refused", last) if expected == "fine" else _judge_refusal(lines, [*names])


def _judge_refusal(lines: list[str], names: list[str]) -> tuple[str, str]:
    last = lines[-1] if lines else ""
    errors = [line for line in lines if line.startswith("Error: ")]
    if errors != [last] or len(last) < SENTENCE or ERRNO in last:
        return "no_sentence", " / ".join(lines[-4:])
    if names and not any(name.casefold() in last.casefold() for name in names):
        return "about_something_else", f"names none of {', '.join(names)}: {last}"
    return "one_sentence", last


def judge_kill(
    ends: Iterable[Outcome], before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[str, str]:
    """What a command that was killed, and gone on with to its end, is called, and why.

    Args:
        ends: of the command that was killed, as often as it was, and of the one that went on.
        before, after: hashes of the files of a run that was never killed, and of this one.

    Returns:
        ``identical``, ``stuck``, ``traceback``, ``failed`` or ``differs``.
    """
    *killed, last = ends
    if any(outcome.code is None for outcome in (*killed, last)):
        return "stuck", last.stderr[-300:]
    if any(TRACEBACK in each.stderr for each in killed):
        return "traceback", killed[-1].stderr[-300:]
    if last.code != 0:
        return "failed", f"exit code {last.code}: {(last.stdout + last.stderr)[-300:]}"
    wrong = [
        f"{'missing' if name not in after else 'more' if name not in before else 'other'}: {name}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return ("differs", ", ".join(wrong)) if wrong else ("identical", "")


def count(kills: Iterable[Judged], inputs: Iterable[Judged]) -> dict[str, Any]:
    """The figures: totals, by kind, and each failure in a line."""
    kills, inputs = [*kills], [*inputs]
    killed = Counter(case.result for case in kills)
    given = Counter(case.result for case in inputs)
    by_kind: dict[str, Counter[str]] = {}
    for case in (*kills, *inputs):
        by_kind.setdefault(case.kind, Counter())[case.result] += 1
    named = ("one_sentence", "fine", "traceback", "silent", "hung")
    return {
        "kills": len(kills),
        "identical": killed["identical"],
        "stuck": killed["stuck"],
        "leftovers": sum(len(case.leftovers) for case in kills),
        "kills_failed_otherwise": len(kills) - killed["identical"] - killed["stuck"],
        "inputs": len(inputs),
        "one_sentence": given["one_sentence"],
        "fine": given["fine"],
        "tracebacks": given["traceback"] + killed["traceback"],
        "silent": given["silent"],
        "hung": given["hung"],
        "inputs_failed_otherwise": sum(n for name, n in given.items() if name not in named),
        "by_kind": {kind: dict(sorted(found.items())) for kind, found in sorted(by_kind.items())},
        "failures": [case.describe() for case in (*kills, *inputs) if case.failed],
    }

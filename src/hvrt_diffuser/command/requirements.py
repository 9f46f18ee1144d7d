"""``--require``: grades that a verdict has to reach, for builds that stop where it does not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hvrt_diffuser.common.errors import InputError

__all__ = ["HELP", "missed", "requirements"]

HELP = "exit 3 where a grade falls short, such as likeness=fair,novelty=good"
SHORT = 3  # exit code where a grade that was required was not reached


def requirements(text: str) -> dict[str, str]:
    """The grade that each question has to reach.

    Raises:
        InputError: a question or a grade that is none.
    """
    if not text:
        return {}
    from hvrt_diffuser.judge.findings import GRADES, QUESTIONS

    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, grade = part.partition("=")
        if name not in QUESTIONS or grade not in GRADES:
            raise InputError(
                f"--require has {part}, expected QUESTION=GRADE with one of "
                f"{', '.join(QUESTIONS)} and one of {', '.join(GRADES)}: correct it"
            )
        found[name] = grade
    return found


def missed(verdict: Mapping[str, Any], required: Mapping[str, str]) -> int:
    """Say which grades were not reached; the exit code, 3 or 0."""
    short = [
        f"{name} is {verdict[name]['grade']}, not {grade}"
        for name, grade in required.items()
        if not _reaches(verdict[name]["grade"], grade)
    ]
    if short:
        print(f"Required and not reached: {'; '.join(short)}.", file=sys.stderr)  # noqa: T201
    return SHORT if short else 0


def _reaches(grade: str, wanted: str) -> bool:
    """Whether a grade is as good; one that could not be told is not."""
    from hvrt_diffuser.judge.findings import GRADES

    order: tuple[str, ...] = GRADES
    return grade in order and order.index(grade) <= order.index(wanted)

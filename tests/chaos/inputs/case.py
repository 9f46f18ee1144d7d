"""An input, where it is given, and what should become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.judging import Expected
from chaos.kills import References
from chaos.project import ENV, Project

KEDRO = ("kedro", "run", "--env", ENV)
Prepare = Callable[[Project, References], None]


def as_it_is(project: Project, references: References) -> None:
    """Nothing is changed before the command."""


@dataclass(frozen=True)
class Case:
    """An input.

    Attributes:
        what: in words, to be told by.
        typed: words of a command, or Python that is called.
        prepare: changes files before.
        start: ``fresh``, where nothing has run, or a kind of command whose results are there.
        expected: whether it is refused.
        names: of which a refusal has to hold one.
        own: files of the user below the project, which stay as they are.
    """

    what: str
    typed: tuple[str, ...] | Callable[[], object]
    prepare: Prepare = as_it_is
    start: str = "run"
    expected: Expected = "refused"
    names: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def stage(*pipelines: str) -> tuple[str, ...]:
    """What runs these stages; without any, all of them."""
    return (*KEDRO, *(("--pipelines", ",".join(pipelines)) if pipelines else ()))

"""Inputs by kind, each drawn by a seed, given to a command and judged."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from chaos.inputs import arguments, exports, files, images, parameters
from chaos.inputs.case import Case
from chaos.judging import Judged, judge_input
from chaos.kills import References
from chaos.processes import fork
from chaos.project import Project, raw_hashes

__all__ = ["KINDS", "attempt", "draw", "give_and_judge", "import_what_takes_seconds"]

# Each with how often it is drawn.
KINDS: dict[str, tuple[Callable[[random.Random], Case], int]] = {
    "parameter": (parameters.out_of_range, 8),
    "unknown parameter": (parameters.unknown, 1),
    "run name": (parameters.run_name, 2),
    "good run name": (parameters.good_run_name, 1),
    "class name": (parameters.class_name, 2),
    "JSON": (files.tampered_json, 4),
    "binary": (files.broken_binary, 4),
    "gone": (files.gone, 2),
    "mixed": (files.mixed, 6),
    "images": (images.folder, 3),
    "table": (images.table, 2),
    "own file": (exports.own_file, 3),
    "Python": (arguments.python, 4),
    "command line": (arguments.on_the_command_line, 5),
}


def draw(seed: str) -> tuple[str, Case]:
    """A kind, and an input of it."""
    return next(_draws(seed))


def _draws(seed: str) -> Iterator[tuple[str, Case]]:
    """A kind, and one input of it after the other."""
    rng = random.Random(seed)
    kind = rng.choices([*KINDS], [weight for _, weight in KINDS.values()])[0]
    while True:
        yield kind, KINDS[kind][0](rng)


def prepared(seed: str, references: References, folder: Path) -> tuple[str, Case, Project]:
    """An input in a folder of its own; drawn again where the files are what they should be."""
    for kind, case in _draws(seed):
        start = references.fresh if case.start == "fresh" else references.of(case.start)[0]
        project = start.copy(folder)
        try:
            case.prepare(project, references)
        except files.NotDifferentError:
            shutil.rmtree(folder)
            continue
        return kind, case, project
    raise AssertionError("draws have no end")


def attempt(name: str, seed: str, references: References, folder: Path, limit: float) -> Judged:
    """Give an input to its command, in a fork of this process, and judge.

    Args:
        name: of the case.
        seed: which draws it.
        references: what has run before.
        folder: for the files; not there yet, and removed unless something is wrong.
        limit: seconds in which the command has to end.
    """
    kind, case, project = prepared(seed, references, folder)
    judged = give_and_judge(name, kind, case, project, limit)
    if not judged.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return judged


def give_and_judge(name: str, kind: str, case: Case, project: Project, limit: float) -> Judged:
    """Run the case's command as a program of its own in the project, and look at what is left."""
    before = raw_hashes(project.path)
    call = case.typed if callable(case.typed) else _program(case.typed)
    outcome = fork(call, project.path, project.environment, limit)
    after = raw_hashes(project.path)
    lost = [path for path in case.own if after.get(path) != before[path]]
    if outcome.code:  # what is refused has cost nothing
        lost += [path for path in before if path not in after and path not in case.own]
    result, detail = judge_input(outcome, case.expected, case.names, lost)
    judged = Judged(name, kind, case.what, result, detail)
    if judged.failed:
        (project.path / "stdout.txt").write_text(outcome.stdout)
        (project.path / "stderr.txt").write_text(outcome.stderr)
    return judged


def _program(words: tuple[str, ...]) -> Callable[[], object]:
    def call() -> None:
        sys.argv = [*words]
        if words[0] == "kedro":
            from kedro.framework.cli.cli import KedroCLI

            KedroCLI(Path.cwd())()
        else:
            from hvrt_diffuser.__main__ import main

            main()

    return call


def import_what_takes_seconds() -> None:
    """Before the first fork, once for all."""
    for module in (
        "kedro.framework.cli.cli",
        "kedro.framework.project",  # sets its hook for errors, over which the next sets its own
        "hvrt_diffuser.hooks",
        "hvrt_diffuser.command.make",
        "hvrt_diffuser.judge",
        "hvrt_diffuser.pipelines.freshness",
        "hvrt_diffuser.pipelines.preflight",
        "hvrt_diffuser.report.judged",
        "matplotlib.pyplot",
    ):
        import_module(module)

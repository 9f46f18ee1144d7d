"""``python -m chaos``: kill and break at random, count, and tell each failure in a line."""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos import inputs, kills
from chaos.judging import Judged, count
from chaos.kills import References
from chaos.project import make_project

COMMAND = "python -m chaos"
Task = tuple[str, Callable[[], Judged]]


def main(arguments: list[str]) -> int:
    """Run all cases, print failures as they come, and write the figures; 1 where there are any."""
    given = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=given.folder))
    try:
        found = sweep(given, folder)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    record = {
        **found,
        "seed": given.seed,
        "command": shlex.join([*COMMAND.split(), *arguments]),
    }
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")
    print(text, end="")  # noqa: T201
    return int(bool(record["failures"]))


def sweep(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All cases, or the one that is asked for: the figures.

    Args:
        given: what the command line gave.
        folder: for projects, of which those of failures stay.
    """
    fresh = make_project(folder / "fresh", folder / "code")
    references = References(folder / "references", fresh, 10 * given.patience)
    references.folder.mkdir()
    inputs.import_what_takes_seconds()
    names = [f"kills:{i}" for i in range(given.kills)]
    names += [f"inputs:{i}" for i in range(given.inputs)]
    if given.only is not None:
        names = given.only.split(",")
    random.Random(given.seed).shuffle(names)

    def task(name: str) -> Judged:
        seed, place = f"{given.seed} {name}", folder / name.replace(":", "-")
        if name.startswith("inputs:"):
            return inputs.attempt(name, seed, references, place, given.patience)
        return kills.attempt(name, kills.draw(seed), references, place)

    _make_references(names, given.seed, references)
    cases = []
    for case in _in_forks(names, task, given.jobs, folder):
        cases.append(case)
        if case.failed or given.verbose:
            print(f"{len(cases)}/{len(names)} {case.describe()}", flush=True)  # noqa: T201
    cases.sort(key=lambda case: (case.name[0], int(case.name.split(":")[1])))
    return count(
        (case for case in cases if case.name.startswith("kills:")),
        (case for case in cases if case.name.startswith("inputs:")),
    )


def _make_references(names: list[str], seed: int, references: References) -> None:
    """What several cases compare with or start from is made before they share it by forks."""
    for name in names:
        drawn = f"{seed} {name}"
        if name.startswith("inputs:"):
            kind, case = inputs.draw(drawn)
            if case.start != "fresh":
                references.of(case.start)
            if kind == "mixed":
                for origin in inputs.files.OTHERS:
                    inputs.files.other_run(references, origin)
        else:
            kind = kills.draw(drawn).kind
            if kind == "serve":
                kills.answer(references)
            else:
                references.of("run" if kind == "two at once" else kind)


def _in_forks(
    names: list[str], task: Callable[[str], Judged], jobs: int, folder: Path
) -> Iterator[Judged]:
    """Each case in a fork of this process, a few at a time; one that crashes is told as such."""
    waiting, running = [*names], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            result = folder / f"{name.replace(':', '-')}.json"
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                _leave(task, name, result)
            running[child] = (name, result)
        for child in [*running]:
            if os.waitpid(child, os.WNOHANG)[0]:
                name, result = running.pop(child)
                if result.exists():
                    yield Judged(**json.loads(result.read_text()))
                else:
                    yield Judged(name, "chaos", "its own", "crashed", "see standard error")
        time.sleep(0.05)


def _leave(task: Callable[[str], Judged], name: str, result: Path) -> None:
    """In the child: do one case, write what became of it, and end without a word."""
    code = 1
    try:
        judged = task(name)
        result.write_text(json.dumps({**judged.__dict__}))
        code = 0
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
    parser.add_argument("--kills", type=int, default=50, help="commands that are killed (50)")
    parser.add_argument("--inputs", type=int, default=300, help="that are broken (300)")
    parser.add_argument("--only", metavar="NAME,...", help="cases such as inputs:17 alone")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time (2)")
    parser.add_argument(
        "--patience", type=float, default=90, help="seconds until an input counts as hung (90)"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--folder", type=Path, help="for temporary files")
    parser.add_argument("--keep", action="store_true", help="the files of failures")
    parser.add_argument("--verbose", action="store_true", help="tell each case")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

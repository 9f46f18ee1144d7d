"""What is wrong is counted: by commands and programs that are wrong on purpose."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import kills
from chaos.inputs import give_and_judge
from chaos.inputs.case import Case
from chaos.judging import Judged, count
from chaos.kills import Kill, References
from chaos.project import Project, hashes
from hvrt_diffuser.common.errors import InputError

SOON, LONG = 2.0, 60.0  # seconds, of what has no end, and of what has
KILL = Kill("run", ("SIGKILL",), (0.7, 0.7), anew=False, skipping=False)
# A command that takes seconds, and is wrong when it goes on after it was killed.
COMMAND = """
import sys, time
from pathlib import Path
fault, folder = sys.argv[1], Path("data")
began = (folder / "stages.json").exists()
(folder / "stages.json").touch()
if not began:
    time.sleep(1.5)
if began and fault == "it sleeps":
    time.sleep(600)
if began and fault == "it fails":
    raise ValueError("no")
if began and fault == "it leaves a file":
    (folder / ".model.1234.partial").touch()
(folder / "model").write_bytes(b"other" if began and fault == "a byte differs" else b"bytes")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "fresh" / "data").mkdir(parents=True)
    return Project(tmp_path / "fresh", tmp_path)


@pytest.fixture
def killed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Judged]:
    """Kill a command with a fault once, and go on."""

    def kill(fault: str) -> Judged:
        typed = [sys.executable, "-c", COMMAND, fault]
        monkeypatch.setattr(kills, "command", lambda kind, skipping=False: typed)
        references = References(tmp_path / "references", project, LONG)
        monkeypatch.setattr(kills, "LONGER", 1)
        monkeypatch.setattr(kills, "MARGIN", SOON if fault == "it sleeps" else LONG)
        return kills.attempt("kills:0", KILL, references, tmp_path / "killed")

    return kill


@pytest.mark.parametrize(
    ("fault", "result", "figures"),
    [
        ("none", "identical", {"identical": 1}),
        ("a byte differs", "differs", {"kills_failed_otherwise": 1}),
        ("it leaves a file", "identical", {"identical": 1, "leftovers": 1}),
        ("it sleeps", "stuck", {"stuck": 1}),
        ("it fails", "failed", {"kills_failed_otherwise": 1}),
    ],
)
def test_a_fault_of_what_goes_on_is_counted(
    killed: Callable[[str], Judged], fault: str, result: str, figures: dict[str, int]
) -> None:
    judged = killed(fault)
    assert judged.result == result, judged
    found = count([judged], [])
    wanted = {"kills": 1, "identical": 0, "stuck": 0, "leftovers": 0, "kills_failed_otherwise": 0}
    assert {name: found[name] for name in wanted} == {**wanted, **figures}
    assert bool(found["failures"]) == (fault != "none")


def test_files_of_times_alone_may_differ(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for i, folder in enumerate(folders):
        folder.mkdir()
        (folder / "stages.json").write_text(str(i))
        (folder / "entry.json").write_text(f'{{"fd": 1.5, "fit_seconds": {i}}}')
        (folder / "README.md").write_text(f"A card.\nkedro run --env e{i}\n")
    assert hashes(folders[0]) == hashes(folders[1])
    (folders[1] / "entry.json").write_text('{"fd": 1.6, "fit_seconds": 0}')
    (folders[1] / "README.md").write_text("A cart.\nkedro run --env e0\n")
    assert {name for name, h in hashes(folders[1]).items() if h != hashes(folders[0])[name]} == {
        "entry.json",
        "README.md",
    }


def _refuse(sentence: str) -> Callable[[], None]:
    def program() -> None:
        raise InputError(sentence)

    return program


def _lose() -> None:
    Path("thesis.txt").unlink()
    raise InputError("n is 0, expected a number above 0: correct it")


def _two_sentences() -> None:
    print("Error: n is 0, expected a number above 0: correct it", file=sys.stderr)  # noqa: T201
    raise InputError("the run failed, expected it to go well: run it again")


SENTENCE = "n is 0, expected a number above 0: correct it"
PROGRAMS: dict[str, tuple[Callable[[], object], str]] = {
    "a sentence": (_refuse(SENTENCE), "one_sentence"),
    "a traceback": (lambda: {}["n"], "traceback"),
    "no end": (lambda: time.sleep(600), "hung"),
    "taken": (lambda: None, "silent"),
    "another sentence": (_refuse("the disk is full, expected some space"), "about_something_else"),
    "two sentences": (_two_sentences, "no_sentence"),
    "the system's own words": (_refuse("n is bad: [Errno 2] No such file"), "no_sentence"),
    "a file is gone": (_lose, "lost"),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_an_input_is_judged_by_what_becomes_of_it(project: Project, what: str) -> None:
    import hvrt_diffuser.hooks  # noqa: F401  # what tells an InputError in a sentence

    program, result = PROGRAMS[what]
    (project.path / "thesis.txt").write_text("mine\n")
    case = Case(what, program, start="fresh", names=("n is",), own=("thesis.txt",))
    limit = SOON if what == "no end" else LONG
    judged = give_and_judge("inputs:0", "Python", case, project, limit)
    assert judged.result == result, judged
    found = count([], [judged])
    named = {"one_sentence": "one_sentence", "traceback": "tracebacks"}
    named |= {name: name for name in ("hung", "silent")}
    assert found[named.get(result, "inputs_failed_otherwise")] == 1
    assert bool(found["failures"]) == (result != "one_sentence")


def test_an_input_that_is_fine_may_not_be_refused(project: Project) -> None:
    refused = Case("a name", _refuse(SENTENCE), expected="fine")
    taken = Case("a name", lambda: None, expected="fine")
    judged = [give_and_judge("inputs:0", "Python", c, project, LONG) for c in (refused, taken)]
    assert [each.result for each in judged] == ["wrongly_refused", "fine"]


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    from chaos import inputs

    def shown(seed: str) -> Any:
        kind, case = inputs.draw(seed)
        return kind, case.what, case.start, case.expected

    seeds = [f"7 inputs:{i}" for i in range(60)]
    assert [shown(seed) for seed in seeds] == [shown(seed) for seed in seeds]
    assert len({shown(seed)[0] for seed in seeds}) > 8
    assert len({kills.draw(seed).kind for seed in seeds}) > 8

"""Commands that are killed at a random instant, once or twice, and then gone on with to their end.

What they leave has to equal, byte for byte, what a run leaves that nobody killed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.judging import Judged, judge_kill
from chaos.processes import SIGNALS, Running, python, run
from chaos.project import ENV, SETTINGS, Project, flat, hashes, leftovers

GO_ON = "--only-missing-outputs"
# Stages that are made anew of what a finished run has upstream, and what they make. That nothing
# is named says that a finished run does not have it.
PIECES: dict[str, tuple[str, ...]] = {
    "ae_training": ("06_models/*/*vae.*", "06_models/*/autoencoder.*", "08_reporting/*/*training*"),
    "tstr": ("07_model_output/*/tstr*", "08_reporting/*/tstr*"),
    "evaluation": ("06_models/*/classifier.*", "08_reporting/*/evaluation.json"),
    "generation": ("07_model_output/*/*images.parquet", "08_reporting/*/sample_grid.png"),
    "report": ("08_reporting/*/report.*", "08_reporting/*/re*_grid.png"),
    "export": ("07_model_output/*/dataset",),
    "hpo": (),
    "benchmark": (),
    "balance": (),
    "shots": (),
}
# How often each kind is drawn: those with the most states to be killed in most often.
WEIGHTS = {
    "run": 6,
    "ae_training": 4,
    "tstr": 4,
    "evaluation": 2,
    "generation": 2,
    "report": 1,
    "export": 3,
    "hpo": 3,
    "benchmark": 3,
    "balance": 2,
    "shots": 2,
    "make": 4,
    "serve": 3,
    "two at once": 3,
}
STARTING = 0.1  # share of a command's time in which nothing of ours runs yet
TRIES = 4  # signals that came too late, until one hits
EARLIER = 0.7  # times as late as the one before
REQUEST = {"n": 400, "seed": 3}
# A command is stuck when it takes so many times as long as one that nobody kills, and a minute.
LONGER, MARGIN = 10, 60.0
AFTER_SIGNAL = 60.0  # seconds in which what was told to end has to


@dataclass(frozen=True)
class Kill:
    """A command of a kind, and how it is killed.

    Attributes:
        kind: one of WEIGHTS.
        signals: one after the other, each for a command of its own; of two at once there may be
            none.
        instants: of the signals, as shares of the time that the command takes.
        anew: over what a finished run has left, and not in its place.
        skipping: whether what goes on skips what is up to date.
    """

    kind: str
    signals: tuple[str, ...]
    instants: tuple[float, ...]
    anew: bool
    skipping: bool

    def __str__(self) -> str:
        killed = " and ".join(
            f"{name} at {at:.0%}" for name, at in zip(self.signals, self.instants, strict=False)
        )
        return (killed or "no signal") + (", over a finished one" if self.anew else "")


@dataclass
class References:
    """What commands leave that nobody kills, made when it is first asked for.

    Attributes:
        folder: for them.
        fresh: a project in which nothing has run.
        limit: seconds in which each of them has to be made.
    """

    folder: Path
    fresh: Project
    limit: float
    _made: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, which is called once."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def finished(self) -> Project:
        """A project in which all stages have run."""
        return self.of("run")[0]

    def of(self, kind: str) -> tuple[Project, dict[str, str], float]:
        """A project after a kind of command, hashes of its files, and seconds that it took."""
        return self.get(kind, lambda: self._make(kind))

    def _make(self, kind: str) -> tuple[Project, dict[str, str], float]:
        start = self.finished if kind in PIECES else self.fresh
        project = start.copy(self.folder / kind)
        if kind in PIECES:
            _remove(project, PIECES[kind])
        done = run(command(kind), project.path, project.environment, self.limit)
        if done.code != 0:
            raise RuntimeError(f"{kind}, which nobody killed, failed: {done.stderr[-2000:]}")
        return project, results(project, kind), done.seconds


def draw(seed: str) -> Kill:
    """A command, and when and how it is killed."""
    rng = random.Random(seed)
    kind = rng.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
    times = rng.choice({"serve": (1,), "two at once": (0, 1)}.get(kind, (1, 1, 2)))
    return Kill(
        kind,
        tuple(rng.choice(SIGNALS) for _ in range(times)),
        tuple(rng.uniform(STARTING, 1) for _ in range(2)),
        anew=kind in PIECES and bool(PIECES[kind]) and rng.random() < 0.4,
        skipping=rng.random() < 0.5,
    )


def command(kind: str, skipping: bool = False) -> list[str]:
    """What is typed."""
    if kind == "make":
        settings = (
            f"{name}={_plain(value)}"
            for name, value in flat(SETTINGS)
            if name.split(".")[0] in ("ae_training", "generation", "evaluation", "tstr")
            or name == "dataset.test_fraction"
        )
        options = [word for each in settings for word in ("--set", each)]
        root = SETTINGS["dataset"]["root"]
        return python("hvrt-diffuser", "make", root, "--out", "made", "--device", "cpu", *options)
    words = ["kedro", "run", "--env", ENV]
    if kind in PIECES:
        words += ["--pipelines", kind]
    return python(*words, *([GO_ON] if skipping else []))


def results(project: Project, kind: str) -> dict[str, str]:
    """Hashes of the files that a command makes."""
    return hashes(project.path / ("made" if kind == "make" else "data"))


def attempt(name: str, kill: Kill, references: References, folder: Path) -> Judged:
    """Run a command, kill it, go on, and compare.

    Args:
        name: of the case.
        kill: which command, and how it is killed.
        references: what is to come out.
        folder: for the files; not there yet, and removed unless something is wrong.
    """
    special = {"serve": _serve, "two at once": _two_at_once}
    result, detail, left = special.get(kill.kind, _once_or_twice)(kill, references, folder)
    judged = Judged(name, kill.kind, str(kill), result, detail, tuple(left))
    if not judged.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return judged


Found = tuple[str, str, Sequence[str]]


def _once_or_twice(kill: Kill, references: References, folder: Path) -> Found:
    _, expected, seconds = references.of(kill.kind)
    limit = LONGER * seconds + MARGIN
    project, ends = None, []
    for signal, at in zip(kill.signals, kill.instants, strict=False):
        for again in range(TRIES):
            if not ends:  # what ended before the signal came starts from where it did
                shutil.rmtree(folder, ignore_errors=True)
                project = _start(kill, references, folder)
            assert project is not None
            end = run(
                command(kill.kind, bool(ends) and kill.skipping),
                project.path,
                project.environment,
                limit,
                stop=(signal, at * seconds * EARLIER**again),
            )
            if end.hit:
                ends.append(end)
                break
    if not ends:
        return "missed", "the command ended before each signal", ()
    assert project is not None
    last = run(command(kill.kind, kill.skipping), project.path, project.environment, limit)
    result, detail = judge_kill([*ends, last], expected, results(project, kill.kind))
    left = leftovers(project.path)
    shown = [name for name in left if name.endswith((".partial", ".replaced"))]
    if result == "differs":  # a temporary file is told as such, and not as a difference, too
        told = [d for d in detail.split(", ") if not any(Path(s).name in d for s in shown)]
        result, detail = ("differs", ", ".join(told)) if told else ("identical", "")
    return result, detail, left


def _start(kill: Kill, references: References, folder: Path) -> Project:
    """Where a command starts: of a stage, what is upstream, with or without its own files."""
    if kill.kind not in PIECES:
        return references.fresh.copy(folder)
    project = references.finished.copy(folder)
    if not kill.anew:
        _remove(project, PIECES[kill.kind])
    return project


def _remove(project: Project, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in (project.path / "data").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _plain(value: Any) -> str:
    return json.dumps(value)


# ---- two runs of one name


def _two_at_once(kill: Kill, references: References, folder: Path) -> Found:
    """The second starts while the first runs, which is killed or not; one has to win."""
    _, expected, seconds = references.of("run")
    project = references.fresh.copy(folder)
    typed, env, limit = command("run"), project.environment, LONGER * seconds + MARGIN
    first = Running(typed, project.path, env)
    first.wait(kill.instants[0] * seconds / 2)
    second = Running(typed, project.path, env)
    hit = False
    if kill.signals:
        first.wait(kill.instants[0] * seconds / 2)
        hit = first.send(kill.signals[0])
    ends = [first.end(limit, hit), second.end(limit)]
    if any(end.code is None for end in ends):
        return "stuck", "", leftovers(project.path)
    for end in ends if not hit else ends[1:]:
        errors = [line for line in end.stderr.splitlines() if line.strip()]
        if "Traceback (most recent call last)" in end.stdout + end.stderr:
            return "traceback", errors[-1], leftovers(project.path)
        if end.code != 0 and not errors[-1].startswith("Error: "):
            return "failed", f"exit code {end.code}: {errors[-1]}", leftovers(project.path)
    if all(end.code != 0 for end in ends):
        if not hit:
            return "failed", "neither of the two came to its end", leftovers(project.path)
        ends.append(run(command("run", True), project.path, env, limit))
    else:
        ends.sort(key=lambda end: end.code == 0)
    result, detail = judge_kill(ends[-1:], expected, results(project, "run"))
    return result, detail, leftovers(project.path)


# ---- the service


def _serve(kill: Kill, references: References, folder: Path) -> Found:
    """Killed amid requests; started again, it answers the same request with the same bytes."""
    project = references.finished.copy(folder)
    model = project.file("06_models")
    before = hashes(project.path)
    expected = answer(references)
    with _serving(project, model) as (service, port):
        askers = [threading.Thread(target=_ask, args=(port, i)) for i in range(3)]
        for asker in askers:
            asker.start()
        time.sleep(3 * kill.instants[0])
        service.send(kill.signals[0])
        end = service.end(AFTER_SIGNAL)
        for asker in askers:
            asker.join()
    if end.code is None:
        return "stuck", f"{kill.signals[0]} did not end the service", ()
    if "Traceback (most recent call last)" in end.stderr:
        return "traceback", end.stderr[-300:], ()
    if _answer_of(project, model) != expected:
        return "differs", "the answer to the same request", ()
    after = hashes(project.path)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    result = "differs" if changed else "identical"
    return result, ", ".join(changed), leftovers(project.path)


def answer(references: References) -> str:
    """The hash of what a service that nobody killed answers."""
    finished = references.finished
    found: str = references.get("answer", lambda: _answer_of(finished, finished.file("06_models")))
    return found


def _answer_of(project: Project, model: Path) -> str:
    with _serving(project, model) as (_, port):
        return hashlib.sha256(_post(port, REQUEST)).hexdigest()


def _ask(port: int, seed: int) -> None:
    try:
        _post(port, {"n": 20_000, "seed": seed})
    except (OSError, http.client.HTTPException):
        return  # it was killed


def _post(port: int, asked: dict[str, int]) -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=AFTER_SIGNAL)
    client.request("POST", "/v1/generate", json.dumps(asked), {"Content-Type": "application/json"})
    return client.getresponse().read()


@contextmanager
def _serving(project: Project, model: Path) -> Iterator[tuple[Running, int]]:
    """A service that listens, and its port."""
    typed = python("hvrt-diffuser", "serve", str(model), "--port", "0")
    service = Running(typed, project.path, project.environment)
    try:
        end = time.monotonic() + AFTER_SIGNAL
        while "startup complete" not in (printed := service.printed()[1]):
            if service.wait(0.1) or time.monotonic() > end:
                raise RuntimeError(f"the service did not start: {printed}")
        port = re.search(r"on http://127\.0\.0\.1:(\d+)", printed)
        assert port is not None, printed
        yield service, int(port[1])
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()

"""Projects to run Kedro in, and two ways to run it: as a process, and inside the test process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from kedro.framework.cli.cli import KedroCLI

# The test process keeps the installed package, whatever copy a run puts first on its path.
import hvrt_diffuser.hooks  # noqa: F401
from hvrt_diffuser.common.files import Turn

ROOT = Path(__file__).parents[2]
LAYERS = (
    "01_raw",
    "02_intermediate",
    "03_primary",
    "04_feature",
    "05_model_input",
    "06_models",
    "07_model_output",
    "08_reporting",
)
QUIET = {"DO_NOT_TRACK": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
TIMEOUT = 300  # seconds; a run of the test environment takes 15


@dataclass(frozen=True)
class Project:
    """A copy of this project, with a data/ of its own."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its processes get: its own copy of the package comes first."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KEDRO_")}
        return {**kept, **QUIET, "PYTHONPATH": str(self.path / "src")}

    def file(self, layer: str, name: str, run_name: str = "test") -> Path:
        """A file of a run, such as ``file("06_models", "autoencoder.safetensors")``."""
        return self.path / "data" / layer / run_name / name

    def hashes(self) -> dict[str, str]:
        """The files below data/ and the hashes of their bytes."""
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.path / "data").rglob("*"))
            if path.is_file()
        }

    def copy(self, path: Path) -> Project:
        """The same project and its data in another place."""
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns(".viz"))
        return Project(path)


@dataclass(frozen=True)
class Outcome:
    """What a run inside the test process left behind."""

    returncode: int
    stdout: str
    stderr: str


def _make_project(path: Path) -> Project:
    path.mkdir(parents=True)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, path / name, ignore=leave_out)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, path / name)
    for layer in LAYERS:
        (path / "data" / layer).mkdir(parents=True)
    return Project(path)


def _start(project: Project, *args: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", *args],
        cwd=project.path,
        env={**project.environment, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _kedro(
    project: Project,
    *args: str,
    check: bool = True,
    cwd: Path | None = None,
    preexec_fn: Callable[[], None] | None = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "kedro", *args],
        cwd=cwd or project.path,
        env={**project.environment, **env},
        preexec_fn=preexec_fn,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def _kedro_here(project: Project, *args: str, check: bool = True, **env: str) -> Outcome:
    """Run the command line inside this process: what it would have printed, and its exit code.

    An error that leaves the command goes to the hook that the interpreter would have called. It
    computes with as many threads as a process of its own, or it would train other weights.
    """
    out, err = io.StringIO(), io.StringIO()
    argv, path, variables = sys.argv, list(sys.path), dict(os.environ)
    code: object = 0
    sys.argv = ["kedro", *args]
    os.environ.update({**QUIET, **env})
    threads = torch.get_num_threads()
    torch.set_num_threads(int(QUIET["OMP_NUM_THREADS"]))
    try:
        with (
            _chdir(project.path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                KedroCLI(project.path)()
            except SystemExit as stop:
                code = stop.code
            except Exception as error:
                sys.excepthook(type(error), error, error.__traceback__)
                code = 1
    finally:
        torch.set_num_threads(threads)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(variables)
    number = code if isinstance(code, int) else int(code is not None)
    outcome = Outcome(number, out.getvalue(), err.getvalue())
    if check:
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome


@contextlib.contextmanager
def _chdir(path: Path) -> Iterator[None]:
    """``contextlib.chdir``, which Python 3.10 lacks."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def _sentence(done: subprocess.CompletedProcess[str] | Outcome) -> str:
    """The one sentence that a failed run ends with; nothing else of it may look like a crash."""
    assert done.returncode != 0, done.stdout + done.stderr
    everything = done.stdout + done.stderr
    assert "Traceback" not in everything, everything
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines, everything
    assert lines[-1].startswith("Error: "), everything
    assert sum(line.startswith("Error: ") for line in lines) == 1, everything
    sentence = lines[-1].removeprefix("Error: ")
    assert len(sentence) > 20, sentence
    return sentence


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``kedro ARGS`` in a project, as a process of its own."""
    return _kedro


@pytest.fixture(scope="session")
def kedro_here() -> Callable[..., Outcome]:
    """Run ``kedro ARGS`` in a project, inside the test process: quicker, and the same code."""
    return _kedro_here


@pytest.fixture(scope="session")
def sentence() -> Callable[[subprocess.CompletedProcess[str] | Outcome], str]:
    """The one sentence that a failed run ends with."""
    return _sentence


@pytest.fixture
def start() -> Iterator[Start]:
    """Start ``kedro ARGS`` in a project, and kill what is left of it after the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(project: Project, *args: str, **env: str) -> subprocess.Popen[str]:
        processes.append(_start(project, *args, **env))
        return processes[-1]

    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without any data."""
    return _make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path], Project]:
    """Make a project without any data at a path."""
    return _make_project


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """A project in which ``kedro run --env test`` ran once, and what that printed.

    The processes that share the tests among them share it as well.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "finished"
    folder.mkdir(exist_ok=True)
    printed = folder / "printed.json"
    with Turn(folder):
        if not printed.exists():
            done = _kedro(_make_project(folder / "project"), "run", "--env", "test")
            printed.write_text(json.dumps([done.args, done.stdout, done.stderr]))
    args, out, err = json.loads(printed.read_text())
    return Project(folder / "project"), subprocess.CompletedProcess(args, 0, out, err)


@pytest.fixture(scope="session")
def finished(finished_run: tuple[Project, object]) -> Project:
    """A project in which ``kedro run --env test`` ran once, to read and copy from."""
    return finished_run[0]


@pytest.fixture
def finished_copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of ``finished`` that a test may change."""
    return finished.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def package_of() -> Callable[[Project], str]:
    """The file that ``import hvrt_diffuser`` finds in a project's processes."""

    def find(project: Project) -> str:
        code = "import hvrt_diffuser; print(hvrt_diffuser.__file__)"
        return subprocess.check_output(
            [sys.executable, "-c", code], env=project.environment, cwd=project.path, text=True
        ).strip()

    return find

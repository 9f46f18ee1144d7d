"""Commands as processes: with a time limit, and a signal at an instant."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = {"kedro": "kedro", "hvrt-diffuser": "hvrt_diffuser"}
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code, negative for a signal; None where it did not end in time.
        stdout, stderr: what it printed.
        seconds: how long it took.
        hit: whether a signal met it alive; False where none was to be sent.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    hit: bool = False


def python(*words: str) -> list[str]:
    """What starts ``kedro ...`` or ``hvrt-diffuser ...`` by this interpreter."""
    return [sys.executable, "-m", MODULES[words[0]], *words[1:]]


class Running:
    """A command that has been started, in a group of processes of its own."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self._start = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def send(self, name: str) -> bool:
        """Send a signal as a keyboard or ``kill`` does; whether it was alive."""
        if self.process.poll() is not None:
            return False
        number = getattr(signal, name)
        if name == "SIGINT":
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return True

    def printed(self) -> tuple[str, str]:
        """Standard output and error so far."""
        return _read(self._out.fileno()), _read(self._err.fileno())

    def end(self, limit: float, hit: bool = False) -> Outcome:
        """Wait for the end; what has not ended after ``limit`` seconds is killed."""
        ended = self.wait(limit)
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        seconds = time.monotonic() - self._start
        code = self.process.returncode if ended else None
        out, err = self.printed()
        self._out.close()
        self._err.close()
        return Outcome(code, out, err, seconds, hit)


def _read(descriptor: int) -> str:
    """All of a file, whose place is left as it is: another process writes there."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


def run(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    limit: float,
    stop: tuple[str, float] | None = None,
) -> Outcome:
    """Run a command to its end, or to a signal ``stop``: its name, and after how many seconds."""
    running = Running(command, cwd, env)
    hit = False
    if stop is not None:
        running.wait(stop[1])
        hit = running.send(stop[0])
    return running.end(limit, hit)


# ---- in a fork of this process, which has imported what takes seconds

MEMORY = 4 * 2**30  # bytes beyond what is mapped already: a broken size must not take the machine's


def fork(call: Callable[[], object], cwd: Path, env: Mapping[str, str], limit: float) -> Outcome:
    """Call a function in a copy of this process, as the only thing that a program does.

    What leaves it goes where it goes from a program: to ``sys.excepthook``, and into the exit code.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setsid()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.stdout = os.fdopen(1, "w", closefd=False)
                sys.stderr = os.fdopen(2, "w", closefd=False)
                os.chdir(cwd)
                os.environ.clear()
                os.environ.update(env)
                _limit_memory()
                code = _call(call)
            finally:
                os._exit(code)
        code, seconds = _wait(child, limit), time.monotonic() - start
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        return Outcome(code, _read(out.fileno()), _read(err.fileno()), seconds)


def _call(call: Callable[[], object]) -> int:
    try:
        call()
        code: object = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:
        try:
            sys.excepthook(type(error), error, error.__traceback__)
        except BaseException:
            traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    if isinstance(code, str):
        os.write(2, f"{code}\n".encode())
    return code if isinstance(code, int) else int(code is not None)


def _limit_memory() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))


def _wait(child: int, limit: float) -> int | None:
    """The exit code of a child, None where it did not end in time and was killed."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None

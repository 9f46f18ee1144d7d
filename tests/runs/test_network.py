"""Nothing is told to anybody: a run opens no connection, and servers are heard here alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml

from hvrt_diffuser.serve.options import ServeOptions, is_loopback

ROOT = Path(__file__).parents[2]
# Python imports a module of this name as it starts: in a run, and in each process that it starts.
REFUSING = """
import os, socket, sys, traceback

EVENTS = {"socket." + name for name in (
    "connect", "sendto", "sendmsg", "getaddrinfo", "gethostbyname", "gethostbyaddr"
)}

def refuse(event, arguments):
    if event == "socket.connect" and arguments[0].family == socket.AF_UNIX:
        return
    if event in EVENTS:
        with open(os.environ["ASKED"], "a") as file:
            print(event, arguments, file=file)
            traceback.print_stack(file=file)
        raise OSError(101, "Network is unreachable")

sys.addaudithook(refuse)
"""


@pytest.fixture
def refusing(tmp_path: Path) -> dict[str, str]:
    """Variables of processes that reach nobody; the file ``ASKED`` says whom they asked for."""
    (tmp_path / "first" / "sitecustomize.py").parent.mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(REFUSING)
    return {"ASKED": str(tmp_path / "asked"), "PYTHONPATH": str(tmp_path / "first")}


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket().connect(('127.0.0.1', 9))",
        "socket.socket().connect_ex(('192.0.2.1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 80))",
        "socket.getaddrinfo('example.org', 80)",
        "socket.gethostbyname('example.org')",
    ],
)
def test_an_attempt_would_be_seen(refusing: dict[str, str], attempt: str) -> None:
    code = f"import socket; {attempt}"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **refusing}, check=False)
    assert done.returncode != 0
    assert Path(refusing["ASKED"]).read_text().startswith("socket.")


@pytest.mark.slow
def test_a_run_of_all_pipelines_asks_nobody(
    project: Any, kedro: Any, refusing: dict[str, str]
) -> None:
    """Kedro's telemetry comes with it, and heeds the project's own file without a variable."""
    path = os.pathsep.join([refusing["PYTHONPATH"], project.environment["PYTHONPATH"]])
    variables = {**refusing, "PYTHONPATH": path, "DO_NOT_TRACK": "", "KEDRO_DISABLE_TELEMETRY": ""}
    kedro(project, "run", "--env", "test", CI="", **variables)
    assert project.file("08_reporting", "report.html").is_file()
    asked = Path(refusing["ASKED"])
    assert not asked.exists(), asked.read_text()


def test_telemetry_is_no_dependency_and_is_refused() -> None:
    assert not [name for name in requires("hvrt-diffuser") or [] if "telemetry" in name]
    assert yaml.safe_load((ROOT / ".telemetry").read_text()) == {"consent": False}


def test_kedro_viz_and_serve_are_heard_on_this_machine_alone_unless_told() -> None:
    assert is_loopback(ServeOptions().host)
    viz = pytest.importorskip("kedro_viz.launchers.cli.run").run
    (host,) = (option.default for option in viz.params if option.name == "host")
    assert is_loopback(host)


def test_another_address_of_this_machine_tells_who_listens_everywhere() -> None:
    """On which the tests of both servers rely."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this system has one address of its own")
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        socket.create_connection(("127.0.0.2", everywhere.getsockname()[1]), 10).close()

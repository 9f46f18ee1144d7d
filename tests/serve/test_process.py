"""The process: what it refuses to start with, and how it ends."""

from __future__ import annotations

import argparse
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.serve import add_parser, run

pytest.importorskip("fastapi")


def given(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["serve", *arguments])


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hvrt_diffuser.serve", str(folder), "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        printed = []
        for line in process.stderr:
            printed.append(line)
            if "startup complete" in line:
                break
        port = re.search(r"on http://127\.0\.0\.1:(\d+)", "".join(printed))
        assert port, printed
        yield process, int(port[1])
    finally:
        process.kill()
        process.communicate()


def test_a_signal_lets_the_request_in_flight_finish(model_folder: Path) -> None:
    with running(model_folder) as (process, port):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        # More than the buffers of both sockets hold: it cannot be over before it is read.
        client.request(
            "POST",
            "/v1/generate",
            json.dumps({"n": 20_000, "seed": 0}),
            {"Content-Type": "application/json"},
        )
        answer = client.getresponse()
        body = answer.read(1000)
        process.send_signal(signal.SIGTERM)
        body += answer.read()
        assert process.wait(60) == 0
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        manifest = tar.extractfile("__manifest__")
        assert manifest is not None
        assert json.load(manifest)["images"] == 20_000


def test_a_service_is_heard_on_this_machine_alone_and_a_key_ends_it(model_folder: Path) -> None:
    with running(model_folder) as (process, port):
        socket.create_connection(("127.0.0.1", port), 10).close()
        with pytest.raises(OSError):  # as it would not, were it heard everywhere
            socket.create_connection(("127.0.0.2", port), 10)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_other_machines_need_a_token(model_folder: Path, host: str) -> None:
    with pytest.raises(InputError, match="no token was given"):
        run(given(str(model_folder), "--host", host))


@pytest.mark.parametrize("option", [("--token", "short"), ("--jobs", "0"), ("--port", "70000")])
def test_options_that_are_refused_are_named(model_folder: Path, option: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=option[0].removeprefix("--")):
        run(given(str(model_folder), *option))


def test_a_token_may_come_from_the_environment(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HVRT_DIFFUSER_TOKEN", "short")
    with pytest.raises(InputError, match="token"):
        run(given(str(model_folder)))


def test_no_model_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hvrt_diffuser.serve", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "latent_sampler.safetensors does not exist" in done.stderr


def test_a_port_that_is_taken_is_one_sentence(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"{port} cannot be listened on"):
            run(given(str(model_folder), "--port", str(port)))

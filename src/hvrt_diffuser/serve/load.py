"""``python -m hvrt_diffuser.serve.load MODEL``: the service under load, and how it ends."""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.machine import describe_machine

__all__ = ["measure"]

COMMAND = "python -m hvrt_diffuser.serve.load"
HOST = "127.0.0.1"
PROBES = 0.05  # seconds between two requests to /health
PATIENCE = 120  # seconds until an answer must come


def measure(model: Path, seconds: float, clients: int, n: int) -> dict[str, Any]:
    """Start the service, let clients ask for images without a pause, and end it by SIGTERM.

    A client that is refused with 503 waits as long as the answer says. The first half as long
    again is to warm up, and does not count.

    Args:
        model: a folder that ``serve`` takes.
        seconds: that are measured.
        clients: at the same time.
        n: images of each request.

    Returns:
        JSON: figures by name.

    Raises:
        InputError: the service does not start.
    """
    statuses: Counter[str] = Counter()
    before: Counter[str] = Counter()  # those of the warm-up
    waits: list[float] = []
    held: list[float] = []
    over = threading.Event()
    with _service(model) as (process, port):
        askers = [
            threading.Thread(target=_ask, args=(port, n, i, statuses, over)) for i in range(clients)
        ]
        for asker in askers:
            asker.start()
        start = time.monotonic()
        warm = start + seconds / 2
        while (now := time.monotonic()) < warm + seconds:
            took = _probe(port)
            if now >= warm:
                before = before or Counter(statuses)
                waits.append(took)
                held.append(_resident(process.pid))
            time.sleep(PROBES)
        counted = statuses - before
        over.set()
        for asker in askers:
            asker.join()
        whole, code = _drain(process, port, n)
    fifth = max(1, len(held) // 5)
    begun, ended = statistics.median(held[:fifth]), statistics.median(held[-fifth:])
    refused = counted.get("503", 0)
    return {
        "seconds": seconds,
        "clients": clients,
        "images_per_request": n,
        "answers_200": counted.get("200", 0),
        "answers_503": refused,
        "other_answers_and_errors": sum(counted.values()) - counted.get("200", 0) - refused,
        "images_per_second": counted.get("200", 0) * n / seconds,
        "health_probes": len(waits),
        "health_ms_median": 1000 * statistics.median(waits),
        "health_ms_p99": 1000 * sorted(waits)[int(0.99 * (len(waits) - 1))],
        "health_ms_max": 1000 * max(waits),
        "resident_mb_after_warm_up": begun,
        "resident_mb_at_the_end": ended,
        "resident_mb_max": max(held),
        "memory_growth": ended / begun - 1,
        "body_in_flight_at_sigterm_was_whole": whole,
        "exit_code_after_sigterm": code,
    }


@contextmanager
def _service(model: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The service as a process, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hvrt_diffuser.serve", str(model), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        printed = ""
        for line in process.stderr:
            printed += line
            if "startup complete" in line:
                break
        port = re.search(rf"on http://{HOST}:(\d+)", printed)
        if port is None:
            raise InputError(f"the service of {model} did not start: {printed.strip()}")
        # What it still prints must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, int(port[1])
    finally:
        process.kill()
        process.wait()


def _post(port: int, n: int, seed: int) -> tuple[http.client.HTTPConnection, Any]:
    client = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    body = json.dumps({"n": n, "seed": seed})
    client.request("POST", "/v1/generate", body, {"Content-Type": "application/json"})
    return client, client.getresponse()


def _ask(port: int, n: int, first: int, statuses: Counter[str], over: threading.Event) -> None:
    """Ask again and again; answers by status, and errors by name."""
    seed = first
    while not over.is_set():
        seed += 1000
        try:
            client, answer = _post(port, n, seed)
            body = answer.read()
            found = str(answer.status)
            if answer.status == 200 and _images(body) != n:
                found = "cut short"
            pause = float(answer.headers.get("Retry-After", 0))
            client.close()
        except (OSError, http.client.HTTPException) as error:
            found, pause = type(error).__name__, 1.0
        statuses[found] += 1
        over.wait(pause)


def _images(body: bytes) -> int | None:
    """How many images a tar says it has; None for one without an end.

    To parse it member by member would take the clients the time that the service is to have.
    """
    start, end = body.rfind(b'{"images"'), body.rfind(b"}")
    return None if start < 0 else json.loads(body[start : end + 1])["images"]


def _probe(port: int) -> float:
    """Seconds until /health has answered, connecting included."""
    start = time.perf_counter()
    client = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    client.request("GET", "/health")
    client.getresponse().read()
    client.close()
    return time.perf_counter() - start


def _resident(process: int) -> float:
    """MB that a process holds (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _drain(process: subprocess.Popen[str], port: int, n: int) -> tuple[bool, int]:
    """SIGTERM while a body is sent: whether it came whole, and the exit code."""
    # More than the buffers of both sockets hold, so that it cannot be over before it is read.
    n = max(n, 20_000)
    _, answer = _post(port, n, 0)
    body = answer.read(1000)
    process.send_signal(signal.SIGTERM)
    body += answer.read()
    return _images(body) == n, process.wait(PATIENCE)


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="as serve takes it")
    parser.add_argument("--seconds", type=float, default=60.0, help="that are measured (60)")
    parser.add_argument("--clients", type=int, default=8, help="at the same time (8)")
    parser.add_argument("--n", type=int, default=500, help="images of each request (500)")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    terminal.install()
    found = measure(options.model, options.seconds, options.clients, options.n)
    record = {
        "command": shlex.join([*COMMAND.split(), *sys.argv[1:]]),
        **found,
        "machine": describe_machine(),
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    sys.stdout.write(text)
    if options.output is not None:
        with whole_file(options.output) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    main()

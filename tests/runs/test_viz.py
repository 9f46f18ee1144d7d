"""kedro-viz opens the project without a display, and shows what a run made."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("kedro_viz")

pytestmark = pytest.mark.slow

PATIENCE = 120  # seconds until the server must answer

PREVIEWED = {
    "latents_train",
    "latents_test",
    "training_history",
    "training_curves",
    "standard_vae.training_curves",
    "low_beta_vae.training_history",
    "partition_table",
    "partition_plot",
    "sample_grid",
    "evaluation_metrics",
    "tstr_metrics",
    "tstr_plot",
    "report_metrics",
    "synthetic_grid",
    "nearest_images",
    "frontier_plot",
    "fd_plot",
    "marginals_plot",
}


def free_port() -> int:
    """A port that nobody has, of those that kedro-viz takes: the ones below the ephemeral."""
    for port in random.sample(range(20_000, 49_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("a hundred ports were tried and all are taken")


def get(address: str) -> tuple[int, Any]:
    """Status and JSON of an address."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@pytest.fixture(scope="module")
def viewed(finished: Any, tmp_path_factory: Any) -> Any:
    """A copy of a finished run for kedro-viz to write its own files into."""
    return finished.copy(tmp_path_factory.mktemp("viz") / "project")


@pytest.fixture(scope="module")
def server(viewed: Any, tmp_path_factory: Any) -> Iterator[str]:
    """The address of a running kedro-viz."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = ["viz", "run", "--no-browser", "--port", str(port)]
    log = tmp_path_factory.mktemp("viz_log") / "log.txt"
    with log.open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "kedro", *command, "--env", "test"],
            cwd=viewed.path,
            env=viewed.environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError):
                    if get(f"{address}/api/main")[0] == 200:
                        break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.3)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def graph(server: str) -> dict[str, Any]:
    """The default pipeline, as kedro-viz draws it."""
    found: dict[str, Any] = get(f"{server}/api/main")[1]
    return found


@pytest.fixture(scope="module")
def details(server: str, graph: dict[str, Any]) -> dict[str, tuple[int, Any]]:
    """Status and answer for each node, by its id."""
    return {node["id"]: get(f"{server}/api/nodes/{node['id']}") for node in graph["nodes"]}


class TestServer:
    def test_shows_every_pipeline(self, graph: dict[str, Any]) -> None:
        assert {pipeline["id"] for pipeline in graph["pipelines"]} == {
            "__default__",
            "data_ingest",
            "ae_training",
            "latent_encoding",
            "hvrt_fitting",
            "generation",
            "evaluation",
            "tstr",
            "report",
            "export",
            "sampler_frontier",
            "phase1",
            "phase2",
            "phase3",
            "balance",
            "shots",
            "hpo",
            "optimise",
            "benchmark",
            "variants",
            "dvp_vae",
        }

    def test_is_heard_on_this_machine_alone(self, server: str) -> None:
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", int(server.rpartition(":")[2])), 10)

    def test_orders_the_layers(self, graph: dict[str, Any]) -> None:
        """None are drawn where the pipeline leads from one layer to another and back."""
        used = {node["layer"] for node in graph["nodes"] if node.get("layer")}
        assert set(graph["layers"]) == used
        assert graph["layers"].index("primary") < graph["layers"].index("model_output")
        assert graph["layers"][-2:] == ["reporting", "export"]

    def test_every_file_has_a_layer(self, graph: dict[str, Any]) -> None:
        without = {n["name"] for n in graph["nodes"] if n["type"] == "data" and not n["layer"]}
        # A hook adds the one, and kedro-viz runs hooks when asked to; the other is never a file.
        assert without <= {"raw_images", "pictures"}

    def test_every_node_answers(
        self, graph: dict[str, Any], details: dict[str, tuple[int, Any]]
    ) -> None:
        assert len(details) > 30
        names = {node["id"]: node["name"] for node in graph["nodes"]}
        failed = {names[i]: answer for i, (status, answer) in details.items() if status != 200}
        assert failed == {}

    def test_figures_tables_and_metrics_have_previews(
        self, graph: dict[str, Any], details: dict[str, tuple[int, Any]]
    ) -> None:
        names = {node["id"]: node["name"] for node in graph["nodes"]}
        shown = {names[i] for i, (_, answer) in details.items() if answer.get("preview")}
        assert shown == shown | PREVIEWED

    @pytest.mark.parametrize("name", ["ae_training", "generation", "tstr"])
    def test_each_pipeline_answers(self, server: str, name: str) -> None:
        status, found = get(f"{server}/api/pipelines/{name}")
        assert status == 200
        assert found["nodes"]


def test_static_site(viewed: Any, kedro: Any) -> None:
    kedro(viewed, "viz", "build", "--include-previews", KEDRO_ENV="test")
    build = viewed.path / "build"
    assert (build / "index.html").stat().st_size > 0
    answers = [json.loads(path.read_text()) for path in (build / "api" / "nodes").iterdir()]
    assert sum(bool(answer.get("preview")) for answer in answers) >= len(PREVIEWED)

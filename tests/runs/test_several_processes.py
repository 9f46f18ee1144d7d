"""Runs that torchrun starts as several processes: one does them, and the others help it train."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hvrt_diffuser.common.files import is_whole

pytestmark = pytest.mark.slow

TRAIN = ("run", "--env", "test", "--to-outputs", "autoencoder")
LONGER = (*TRAIN, "--params", "ae_training.epochs=10")
PATIENCE = 300  # seconds
MODEL = ("06_models", "autoencoder.safetensors")


Torchrun = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def torchrun(project: Any) -> Iterator[Torchrun]:
    """Start two processes in the project; what is left of them after the test is killed."""
    launchers: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, module: str = "kedro") -> subprocess.Popen[str]:
        options = ("--standalone", "--nproc-per-node", "2", "-m", module)
        launchers.append(
            subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", *options, *arguments],
                cwd=project.path,
                env=project.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return launchers[-1]

    yield begin
    for launcher in launchers:
        for pid in [*ranks(launcher), launcher.pid]:
            if launcher.poll() is None:
                os.kill(pid, signal.SIGKILL)
        launcher.communicate()


def ranks(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that it has started and that still run."""
    if launcher.poll() is not None:
        return []
    listed = ["ps", "-A", "-o", "pid=,ppid="]
    rows = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(pid) for pid, parent in map(str.split, rows) if int(parent) == launcher.pid]


def ended(launcher: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = launcher.communicate(timeout=PATIENCE)
    return launcher.returncode, out, err


@pytest.fixture
def training(project: Any, torchrun: Torchrun) -> subprocess.Popen[str]:
    """Two processes amid a training that has left a checkpoint."""
    launcher = torchrun(*LONGER)
    last = time.monotonic() + PATIENCE
    while not project.file("06_models", "autoencoder.checkpoint.safetensors").exists():
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < last
        time.sleep(0.01)
    return launcher


def test_one_process_runs_and_the_others_help(project: Any, torchrun: Torchrun, kedro: Any) -> None:
    code, out, err = ended(torchrun(*TRAIN))
    assert code == 0, out + err
    assert (out + err).count("2 processes share the training") == 1
    assert (out + err).count("autoencoder written") == 1
    stages = json.loads(project.file("08_reporting", "stages.json").read_text())
    typed = stages["ae_training.train_autoencoder"]["command"]
    assert typed.startswith("torchrun --nproc-per-node 2 -m kedro run --env test")
    before = project.file(*MODEL).stat().st_mtime_ns
    kedro(project, *TRAIN, "--only-missing-outputs")
    assert project.file(*MODEL).stat().st_mtime_ns == before


def test_a_killed_process_ends_all_and_the_same_command_goes_on(
    project: Any, torchrun: Torchrun, training: subprocess.Popen[str]
) -> None:
    pids = ranks(training)
    assert len(pids) == 2
    os.kill(pids[-1], signal.SIGKILL)
    assert ended(training)[0] != 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not project.file(*MODEL).exists()
    code, out, err = ended(torchrun(*LONGER, "--only-missing-outputs"))
    assert code == 0, out + err
    assert project.file(*MODEL).exists()


def test_control_c_leaves_whole_files_and_says_how_to_go_on(
    project: Any, training: subprocess.Popen[str]
) -> None:
    training.send_signal(signal.SIGINT)
    code, _, err = ended(training)
    assert code != 0
    said = "torchrun --nproc-per-node 2 -m " + " ".join(["kedro", *LONGER])
    assert said + " --only-missing-outputs" in err
    assert err.count("Interrupted.") == 1
    files = [path for path in (project.path / "data").rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix == ".partial"] == []
    assert all(is_whole(path) for path in files if path.suffix == ".safetensors")


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("kedro", (*TRAIN, "--params", "ae_training.latent_dim=0"), "ae_training.latent_dim"),
        ("hvrt_diffuser", ("make", "nowhere", "--out", "made"), "nowhere does not exist"),
        ("kedro", (*TRAIN, "--params", "ae_training.batch_size=3"), "batch_size is 3 for 2"),
    ],
)
def test_what_is_wrong_is_said_once(
    project: Any, torchrun: Torchrun, module: str, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = ended(torchrun(*arguments, module=module))
    assert code != 0
    # Once they have met, torch says which process it is that speaks.
    errors = [line for line in err.splitlines() if re.match(r"(\[rank0\]: )?Error: ", line)]
    assert len(errors) == 1, err
    assert said in errors[0]
    assert not project.file(*MODEL).exists()

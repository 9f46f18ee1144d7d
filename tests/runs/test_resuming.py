"""A run that was cut off goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog import SyntheticImagesDataset
from hvrt_diffuser.common.files import is_whole
from hvrt_diffuser.samplers import load_sampler

pytestmark = pytest.mark.slow

BASELINE = "low_beta_vae"
EPOCHS = "ae_training.epochs=6"
LONGER = ("run", "--env", "test", "--params", EPOCHS)
METRICS = ("evaluation.json", "tstr.json")
HISTORIES = ("training_history.parquet", "standard_vae_training_history.parquet")
PATIENCE = 120  # seconds until a training must have written its first checkpoint


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there, with the process that is to write it still running."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()


def checkpoint(project: Any, model: str) -> Path:
    path: Path = project.file("06_models", f"{model}.checkpoint.safetensors")
    return path


def unfinished(project: Any) -> list[Path]:
    """Temporary files and files cut short, among all that lie in data/."""
    files = [path for path in (project.path / "data").rglob("*") if path.is_file()]
    left = [path for path in files if path.name.startswith(".") or path.suffix == ".partial"]
    broken = [p for p in files if p.suffix == ".safetensors" and not is_whole(p)]
    return left + broken


@pytest.fixture(scope="module")
def killed(make_project: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """A project whose run was killed in the middle of training a baseline."""
    project = make_project(tmp_path_factory.mktemp("killed") / "project")
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", *LONGER],
        cwd=project.path,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(checkpoint(project, BASELINE), process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    yield project


class TestKilled:
    def test_leaves_whole_files_alone(self, killed: Any) -> None:
        assert checkpoint(killed, BASELINE).exists()
        assert not killed.file("06_models", f"{BASELINE}.safetensors").exists()
        assert [p for p in unfinished(killed) if p.suffix != ".partial"] == []

    def test_goes_on_to_the_same_bytes(
        self, killed: Any, project: Any, tmp_path: Path, kedro: Any
    ) -> None:
        resumed = killed.copy(tmp_path / "resumed")
        kedro(resumed, *LONGER)
        kedro(project, *LONGER)
        for name in METRICS + HISTORIES:
            uninterrupted = project.file("08_reporting", name).read_bytes()
            assert resumed.file("08_reporting", name).read_bytes() == uninterrupted, name
        names = set(resumed.hashes())
        assert {name for name in names if not name.endswith(".partial")} == set(project.hashes())
        model = f"{BASELINE}.safetensors"
        assert (
            resumed.file("06_models", model).read_bytes()
            == project.file("06_models", model).read_bytes()
        )

    @pytest.mark.parametrize(
        "change", ["ae_training.latent_dim=9", "ae_training.learning_rate=0.01"]
    )
    def test_refuses_to_go_on_with_other_parameters(
        self, killed: Any, tmp_path: Path, kedro_here: Any, sentence: Any, change: str
    ) -> None:
        project = killed.copy(tmp_path / "other")
        before = project.hashes()
        arguments = ("run", "--env", "test", "--nodes", f"{BASELINE}.train_autoencoder")
        done = kedro_here(project, *arguments, "--params", f"{EPOCHS},{change}", check=False)
        said = sentence(done)
        name, value = change.removeprefix("ae_training.").split("=")
        assert f"{BASELINE}.checkpoint.safetensors" in said
        assert f"this one has {name} {value}" in said
        assert project.hashes() == before

    @pytest.mark.parametrize("size", [0, 1000])
    def test_refuses_a_broken_checkpoint(
        self, killed: Any, tmp_path: Path, kedro_here: Any, sentence: Any, size: int
    ) -> None:
        project = killed.copy(tmp_path / "broken")
        os.truncate(checkpoint(project, BASELINE), size)
        before = project.hashes()
        arguments = (
            "run",
            "--env",
            "test",
            "--nodes",
            f"{BASELINE}.train_autoencoder",
            "--params",
            EPOCHS,
        )
        said = sentence(kedro_here(project, *arguments, check=False))
        assert f"{BASELINE}.checkpoint.safetensors" in said
        assert "delete it" in said
        assert project.hashes() == before


def test_a_whole_model_that_was_killed_goes_on_to_the_same_bytes(
    finished_copy: Any, tmp_path: Path, kedro: Any, start: Any
) -> None:
    chosen = "generation.sampler=dvp_vae,samplers.dvp_vae.epochs=3"
    arguments = ("run", "--env", "test", "--nodes", "hvrt_fitting.fit_sampler", "--params", chosen)
    finished_copy.file("06_models", "latent_sampler.safetensors").unlink()
    whole = finished_copy.copy(tmp_path / "whole")
    process = start(finished_copy, *arguments)
    try:
        wait_for(checkpoint(finished_copy, "latent_sampler"), process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not finished_copy.file("06_models", "latent_sampler.safetensors").exists()
    done = kedro(finished_copy, *arguments)
    assert "taken from the checkpoint" in done.stdout + done.stderr
    kedro(whole, *arguments)
    one, other = (p.file("06_models", "latent_sampler.safetensors") for p in (finished_copy, whole))
    assert one.read_bytes() == other.read_bytes()
    assert not checkpoint(finished_copy, "latent_sampler").exists()


class TestInterrupted:
    def test_control_c_breaks_nothing_and_shows_no_traceback(
        self, project: Any, start: Any
    ) -> None:
        process = start(project, "run", "--env", "test", "--params", "ae_training.epochs=50")
        wait_for(checkpoint(project, "low_beta_vae"), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert unfinished(project) == []
        assert checkpoint(project, "low_beta_vae").exists()
        assert process.returncode != 0
        assert err.splitlines()[-1] == "Aborted!"
        assert "Traceback" not in err
        said = "kedro run --env test --params ae_training.epochs=50 --only-missing-outputs"
        assert said in err


class TestOnlyMissing:
    """``--only-missing-outputs`` makes what is missing, and does not take a stump for a file."""

    STUMPS = (
        ("04_feature", "latents_test.parquet"),
        ("06_models", "latent_sampler.safetensors"),
        ("07_model_output", "synthetic_images.parquet"),
        ("08_reporting", "evaluation.json"),
        ("08_reporting", "sample_grid.png"),
        ("08_reporting", "partition_table.parquet"),
    )
    COMMAND = ("run", "--env", "test", "--only-missing-outputs")

    @pytest.mark.parametrize(("layer", "name"), STUMPS)
    def test_makes_an_empty_file_again(
        self, finished_copy: Any, kedro_here: Any, layer: str, name: str
    ) -> None:
        path = finished_copy.file(layer, name)
        path.write_bytes(b"")
        kedro_here(finished_copy, *self.COMMAND)
        assert path.stat().st_size > 0

    def test_makes_no_other_file_again(self, finished_copy: Any, kedro_here: Any) -> None:
        sampler = finished_copy.file("06_models", "latent_sampler.safetensors")
        images = finished_copy.file("07_model_output", "synthetic_images.parquet")
        kept = [
            finished_copy.file("06_models", "autoencoder.safetensors"),
            finished_copy.file("06_models", "low_beta_vae.safetensors"),
            finished_copy.file("03_primary", "images_train.safetensors"),
            finished_copy.file("04_feature", "latents_train.parquet"),
        ]
        before = [path.stat().st_mtime_ns for path in kept]
        os.truncate(sampler, sampler.stat().st_size - 1)
        os.truncate(images, images.stat().st_size - 1)
        kedro_here(finished_copy, *self.COMMAND)
        assert [path.stat().st_mtime_ns for path in kept] == before
        assert load_sampler(sampler).latent_dim == 8
        assert len(SyntheticImagesDataset(str(images)).load()) == 500

    def test_of_a_killed_run(self, killed: Any, tmp_path: Path, kedro_here: Any) -> None:
        project = killed.copy(tmp_path / "missing")
        autoencoder = project.file("06_models", "autoencoder.safetensors")
        before = autoencoder.stat().st_mtime_ns
        arguments = ("--pipelines", "ae_training", "--params", EPOCHS)
        kedro_here(project, *self.COMMAND, *arguments)
        assert autoencoder.stat().st_mtime_ns == before
        model = Autoencoder.load(project.file("06_models", f"{BASELINE}.safetensors"))
        assert model.architecture.latent_dim == 8
        assert not checkpoint(project, BASELINE).exists()

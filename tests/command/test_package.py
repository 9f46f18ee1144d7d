"""The whole command line from a wheel, in an empty folder, through a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from hvrt_diffuser.data.images import LabelledImages

ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
PARTS = ("src", "conf", "pyproject.toml", "README.md", "LICENSE")
QUICK = {
    "ae_training.epochs": "2",
    "ae_training.width": "4",
    "ae_training.latent_dim": "4",
    "generation.n": "120",
    "evaluation.judge.steps": "20",
    "evaluation.judge.evaluate_every": "10",
    "evaluation.judge.width": "4",
    "tstr.n": "60",
    "tstr.seeds": "2",
    "tstr.few_shot": "10",
    "tstr.classifier.steps": "5",
    "tstr.classifier.width": "4",
    "tstr.until_validation.steps": "10",
    "tstr.until_validation.evaluate_every": "5",
}
SET = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]

pytestmark = pytest.mark.slow
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this project was installed, and nothing else."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "project").mkdir()
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for part in PARTS:
        source, target = ROOT / part, folder / "project" / part
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=leave_out)
        else:
            shutil.copy(source, target)
    build = [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, *build, "--wheel-dir", str(folder), str(folder / "project")],
        check=True,
        timeout=300,
    )
    shutil.rmtree(folder / "project")
    (wheel,) = folder.glob("*.whl")
    install = [*PIP, "install", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run(
        [sys.executable, *install, str(folder / "site"), str(wheel)], check=True, timeout=300
    )
    return folder / "site"


@pytest.fixture(scope="module")
def place(digits: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for 60 images of each of three digits."""
    folder = tmp_path_factory.mktemp("anywhere")
    for label, name in enumerate(("nought", "one", "rocket")):
        (folder / "photos" / name).mkdir(parents=True)
        rows = torch.nonzero(digits.labels == label).flatten()[:60]
        for i, image in enumerate(digits.images[rows]):
            Image.fromarray(image[0].numpy()).save(folder / "photos" / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def start(site: Path, place: Path) -> Start:
    def run(*arguments: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KEDRO_")}
        own = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "hvrt_diffuser", *arguments],
            cwd=place,
            env=kept | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def run(start: Start) -> Callable[..., str]:
    def call(*arguments: str, code: int = 0) -> str:
        process = start(*arguments)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, out + err
        return out + err

    return call


@pytest.fixture(scope="module")
def made(start: Start, run: Callable[..., str], place: Path) -> Path:
    """What ``make`` leaves that was killed after its first pictures, and called again."""
    command = ["make", "photos", "--out", "made", *SET]
    process = start(*command)
    pictures = place / "made" / "grid.png"
    while process.poll() is None and not pictures.exists():
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert pictures.exists()
    assert not (place / "made" / "report.json").exists()
    network = place / "made" / "run" / "data" / "06_models" / "photos" / "autoencoder.safetensors"
    before = network.stat().st_mtime_ns
    printed = run(*command)
    assert network.stat().st_mtime_ns == before
    assert "Do they look like the real ones?" in printed
    return place / "made"


def test_everything_lies_in_the_folder(made: Path, place: Path, site: Path) -> None:
    assert {path.name for path in place.iterdir()} >= {"photos", "made"}
    assert {path.name for path in made.iterdir()} == {
        *("make.json", "run", "images", "model", "grid.png", "report.html", "report.json")
    }
    assert {path.name for path in (made / "images" / "train").iterdir()} <= {
        *("nought", "one", "rocket")
    }
    assert len(list((made / "images" / "train").rglob("*.png"))) == 120
    assert "tags:" in (made / "images" / "README.md").read_text()
    report = json.loads((made / "report.json").read_text())
    assert set(report["verdict"]) == {"likeness", "utility", "novelty", "membership"}
    assert (site / "hvrt_diffuser" / "conf" / "base" / "catalog.yml").is_file()


def test_more_images_are_drawn_by_the_name_of_a_class(
    made: Path, run: Callable[..., str], place: Path
) -> None:
    run("draw", "made/model", "-n", "9", "--class", "rocket", "--out", "rockets")
    assert len(list((place / "rockets" / "train" / "rocket").iterdir())) == 9


def test_the_run_is_listed(made: Path, run: Callable[..., str]) -> None:
    listed = run("runs", "list", "--data", "made")
    assert "photos" in listed
    assert "image_folder photos" in listed
    assert "4 files" not in run("runs", "show", "photos", "--data", "made")


def test_its_images_are_judged(made: Path, run: Callable[..., str]) -> None:
    printed = run(
        *("judge", "--train", "photos", "--synthetic", "made/images/train", "--no-training")
    )
    assert "Are they copies?" in printed


def test_a_folder_of_somebody_else_is_one_sentence(made: Path, run: Callable[..., str]) -> None:
    said = run("make", "photos", "--out", "photos", code=1)
    assert said.startswith("Error: ")
    assert len(said.splitlines()) == 1

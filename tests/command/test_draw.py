"""``hvrt-diffuser draw``: images of a model, by the names of its classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.command import main
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.samplers import HVRTEstimator

NAMES = [*(f"digit {i}" for i in range(9)), "rocket"]


@pytest.fixture(scope="module")
def model(
    autoencoder: Autoencoder,
    latents: Tensor,
    digits: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """As ``make`` leaves it in its folder."""
    folder = tmp_path_factory.mktemp("made") / "model"
    sampler = HVRTEstimator().fit(latents[:500], digits.labels[:500], seed=0)
    real = {"trained_on": {"source": "image_folder digits", "classes": NAMES}}
    folder.mkdir()
    replace(sampler, origin=sampler.origin | real).save(folder / "latent_sampler.safetensors")
    autoencoder.save(folder / "autoencoder.safetensors")
    return folder


def classes(folder: Path) -> Counter[str]:
    return Counter(path.parent.name for path in (folder / "train").rglob("*.png"))


@pytest.mark.parametrize("of", ["model", "the folder of make"])
def test_all_classes_in_a_folder_each(
    model: Path, tmp_path: Path, of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = model if of == "model" else model.parent
    assert main(["draw", str(place), "-n", "200", "--out", str(tmp_path / "out")]) == 0
    found = classes(tmp_path / "out")
    assert found.total() == 200
    assert set(found) == set(NAMES)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "image_folder digits" in " ".join(card.replace("\\", "").split())
    assert "not judged" in card
    assert f"{tmp_path / 'out'}" in capsys.readouterr().out


def test_one_class_by_its_name_and_the_same_again(model: Path, tmp_path: Path) -> None:
    arguments = ["draw", str(model), "-n", "7", "--class", "rocket", "--seed", "3"]
    for name in ("a", "b"):
        main([*arguments, "--out", str(tmp_path / name)])
        assert classes(tmp_path / name) == {"rocket": 7}
    first, second = (
        [path.read_bytes() for path in sorted((tmp_path / name / "train").rglob("*.png"))]
        for name in ("a", "b")
    )
    assert first == second


def test_as_parquet_it_is_read_again(model: Path, tmp_path: Path) -> None:
    main(["draw", str(model), "-n", "50", "--form", "parquet", "--out", str(tmp_path / "out")])
    found = read_images("parquet", root=tmp_path / "out").train
    assert len(found) == 50
    assert list(found.class_names) == NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "rockt"], r"no class 'rockt': did you mean rocket\?"),
        (["--class", "9"], "no class '9': did you mean|no class '9': expected one of"),
        (["-n", "0"], "-n is 0"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        main(["draw", str(model), *arguments, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something"):
        main(["draw", str(model), "-n", "5", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_a_model_it_says_where_one_would_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no latent_sampler.*FOLDER/model"):
        main(["draw", str(tmp_path), "-n", "5"])

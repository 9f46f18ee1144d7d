"""Images to add: as many as classes lack, or as were asked for, beside those that are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torchvision.datasets import ImageFolder

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog import ExportDataset, SyntheticImagesDataset
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.pipelines.export.nodes import export
from hvrt_diffuser.pipelines.export.parameters import ExportOptions
from hvrt_diffuser.pipelines.generation.nodes import add, generate
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions
from hvrt_diffuser.samplers import HVRTEstimator

NAMES = ("plane", "ship", "rocket")
REPORT: dict[str, Any] = {
    "run_name": "photos",
    "dataset": {"source": "photos", "n_train": 90},
    "seed": 0,
    "parameters": {"generation.seed": None},
    "machine": {"processor": "x", "system": "y", "python": "3"},
    "verdict": {},
    "stages": {},
}


@pytest.fixture(scope="module")
def train(digits: LabelledImages) -> LabelledImages:
    """50, 30 and 10 digits as three classes."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([50, 30, 10]))
    rows = torch.cat([(digits.labels == c).nonzero()[:n, 0] for c, n in enumerate((50, 30, 10))])
    return LabelledImages(digits.images[rows], labels, NAMES, "photos")


@pytest.fixture(scope="module")
def generator(autoencoder: Autoencoder, train: LabelledImages) -> HVRTDiffuser:
    from hvrt_diffuser.autoencoders import encode_images

    latents, _ = encode_images(autoencoder, train.images, torch.device("cpu"))
    return HVRTDiffuser(autoencoder, HVRTEstimator().fit(latents, train.labels))


def saved(stream: Any, path: Path) -> LabelledImages | None:
    dataset = SyntheticImagesDataset(str(path), optional=True)
    dataset.save(stream)
    return dataset.load()


def test_balance_makes_all_classes_equal_and_a_folder_of_both_is(
    generator: HVRTDiffuser, train: LabelledImages, tmp_path: Path
) -> None:
    options = GenerationOptions(balance=True)
    added = saved(add(generator, train, options, 0), tmp_path / "added.parquet")
    assert added is not None
    assert torch.bincount(added.labels, minlength=3).tolist() == [0, 20, 40]
    reference = saved(
        generate(generator, train, GenerationOptions(n=30), 0), tmp_path / "reference.parquet"
    )
    assert reference is not None
    report = REPORT | {
        "evaluation": {
            "images": fingerprint(reference),
            "fd_classifier": {"synthetic": None},
            "latent_dim": 8,
            "origin": generator.origin,
        }
    }
    form = ExportOptions(form="image_folder", with_training=True)
    made = export(reference, added, train, report, form)
    ExportDataset(str(tmp_path / "dataset")).save(made)
    folder = ImageFolder(str(tmp_path / "dataset" / "train"))
    assert torch.bincount(torch.tensor(folder.targets)).tolist() == [50, 50, 50]
    real = [Path(path).name for path, _ in folder.samples if "real-" in path]
    assert len(real) == 90
    card = (tmp_path / "dataset" / "README.md").read_text()
    assert "The verdict is on 30 other images" in card
    assert "first 90 images here are real" in card
    alone = export(reference, added, train, report, ExportOptions(form="image_folder"))
    assert torch.equal(alone.images.images, added.images)


def test_counts_are_met_by_name_and_others_untouched(
    generator: HVRTDiffuser, train: LabelledImages, tmp_path: Path
) -> None:
    options = GenerationOptions(counts={"rocket": 60})
    added = saved(add(generator, train, options, 0), tmp_path / "added.parquet")
    assert added is not None
    assert torch.bincount(added.labels, minlength=3).tolist() == [0, 0, 60]
    again = saved(add(generator, train, options, 0), tmp_path / "again.parquet")
    assert again is not None
    assert torch.equal(added.images, again.images)
    assert (tmp_path / "added.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_nothing_asked_for_leaves_no_file(
    generator: HVRTDiffuser, train: LabelledImages, tmp_path: Path
) -> None:
    path = tmp_path / "added.parquet"
    saved(add(generator, train, GenerationOptions(counts=2), 0), path)
    assert path.exists()
    assert saved(add(generator, train, GenerationOptions(), 0), path) is None
    assert not path.exists(), "images of an earlier request are still there"


def test_the_class_is_given_by_name(
    generator: HVRTDiffuser, train: LabelledImages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stream = generate(generator, train, GenerationOptions(n=5, class_id="rocket"), 0)
    assert torch.cat([labels for _, labels in stream]).tolist() == [2] * 5
    assert "class rocket" in caplog.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"balance": True, "counts": 5}, "leave the other out"),
        ({"class_id": False}, "in quotes"),
        ({"class_id": 1e3}, "in quotes"),
        ({"counts": {"rocket": 0}}, "greater than or equal to 1"),
        ({"counts": {"rocket": "many"}}, "whole number"),
    ],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GenerationOptions(**given)

"""Coarse codes and detail beside HVRT on components, measured by one instrument."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.photographs import (
    Instrument,
    Protocol,
    averaged,
    kept_for,
    measure_photographs,
)
from hvrt_diffuser.image_models import CoarseToFineEstimator

PROTOCOL = Protocol(
    n=120,
    compared=60,
    classifier=ClassifierOptions(width=8, steps=60),
    judge=JudgeOptions(width=8, steps=120, evaluate_every=40),
    whitened=JudgeOptions(network="whitened", width=8, steps=20, evaluate_every=10),
    model=CoarseToFineEstimator(
        latent_dim=16, width=32, training_steps=3, perception_steps=3, batch_size=8
    ),
    components=64,
)


@pytest.fixture(scope="module")
def sets(digits: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    return digits[order[:600]], digits[order[600:900]]


@pytest.fixture(scope="module")
def instrument(sets: tuple[LabelledImages, LabelledImages]) -> Instrument:
    return Instrument(*sets, PROTOCOL, seed=0)


def test_mirrored_copies_are_copies(instrument: Instrument) -> None:
    images, labels = instrument.real_set()
    found = instrument.measure(images.flip(3), labels)
    assert found["dcr_image"] == found["dcr_code"] == 0
    assert found["fd"]["random"] > instrument.floor["random"]


def test_a_real_set_is_even_and_found_out(instrument: Instrument) -> None:
    images, labels = instrument.real_set()
    assert torch.bincount(labels).tolist() == [12] * 10
    found = instrument.measure(images, labels)
    assert found["fd"] == instrument.floor
    assert found["tstr"] == instrument.tstr_real
    assert found["authentic"] == 0


def test_fresh_images_are_as_far_as_fresh_images(
    instrument: Instrument, sets: tuple[LabelledImages, LabelledImages]
) -> None:
    test = sets[1]
    found = instrument.measure(test.images[:120], test.labels[:120])
    assert 0.8 < found["dcr_image"] < 1.25
    assert 0.8 < found["dcr_code"] < 1.25


def test_wrong_labels_agree_with_nothing(
    instrument: Instrument, sets: tuple[LabelledImages, LabelledImages]
) -> None:
    test = sets[1][torch.arange(120)]
    right = instrument.measure(test.images, test.labels)["label_agreement"]
    assert right > 50
    wrong = replace(test, labels=(test.labels + 1) % 10)
    assert instrument.measure(wrong.images, wrong.labels)["label_agreement"] < right / 2


@pytest.mark.slow
def test_rows_are_measured_once_and_drawn_again_alike(
    sets: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    seen: list[str] = []
    rows = measure_photographs(*sets, PROTOCOL, 0, tmp_path, seen.append)
    assert [row["row"] for row in rows] == [
        "real",
        "hvrt_64, 0.5",
        "hvrt_64, 1.0",
        "hvrt_64, 1.6",
        "residual_swap",
        "coarse_to_fine, 0.5",
        "coarse_to_fine, 1.0",
        "coarse_to_fine, 1.6",
        "coarse_to_fine, mixture",
    ]
    json.dumps(rows, allow_nan=False)
    by_row = {row["row"]: row for row in rows}
    assert by_row["real"]["dcr_image"] == 0
    for name in ("hvrt_64", "coarse_to_fine"):
        codes = [by_row[f"{name}, {strength}"]["dcr_code"] for strength in (0.5, 1.0, 1.6)]
        assert codes == sorted(codes), "a stronger kernel goes farther"
    [kept] = tmp_path.iterdir()
    assert len(list(kept.glob("*.png"))) == len(rows)
    assert measure_photographs(*sets, PROTOCOL, 0, tmp_path, seen.append) == rows
    assert len(seen) == len(rows), "what is there is not measured again"
    (kept / "hvrt_64_1.0_0.json").unlink()
    again = measure_photographs(*sets, PROTOCOL, 0, tmp_path, seen.append)
    assert [without_times(row) for row in again] == [without_times(row) for row in rows]


def test_what_is_kept_belongs_to_images_and_protocol(
    sets: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    train, test = sets
    other = PROTOCOL._replace(model=PROTOCOL.model.model_copy(update={"training_steps": 4}))
    folders = {
        kept_for(train, test, PROTOCOL, tmp_path),
        kept_for(train, test, other, tmp_path),
        kept_for(train, test, PROTOCOL._replace(n=100), tmp_path),
        kept_for(test, train, PROTOCOL, tmp_path),
    }
    assert len(folders) == 4


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in row.items() if key not in ("ms_per_image", "train_seconds")
    }


def test_means_are_over_seeds() -> None:
    one = [{"row": "a", "n": 3, "fd": {"x": 1.0}, "tstr": 2.0, "ms_per_image": None}]
    other = [{"row": "a", "n": 3, "fd": {"x": 3.0}, "tstr": 4.0, "ms_per_image": 1.0}]
    assert averaged([one, other]) == [
        {"row": "a", "n": 3, "fd": {"x": 2.0}, "tstr": 3.0, "ms_per_image": None, "seeds": 2}
    ]

"""From how many real images on synthetic ones stop helping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions, train_classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Predictions
from hvrt_diffuser.judge.sweeps import ShotsOptions, stops_helping, sweep_shots

CPU = torch.device("cpu")
CLASSIFIER = ClassifierOptions(width=4, steps=3, batch_size=32)
TRAINING = TrainingOptions(latent_dim=4, width=4, epochs=1, batch_size=50)
OPTIONS = ShotsOptions(shots=(5, 20, 1000), ratios=(1, 2), seeds=2)


def row(shots: int, ratio: int, low: float, mean: float, sampler: str = "x") -> dict[str, Any]:
    gain = {"mean": mean, "low": low, "high": 2 * mean - low}
    return {"row": sampler, "shots": shots, "ratio": ratio, "gain": gain}


class TestStopsHelping:
    def test_is_the_fewest_images_from_which_on_nothing_is_gained(self) -> None:
        rows = [row(10, 1, 1, 2), row(100, 1, -1, 0), row(1000, 1, -1, 0.5)]
        found = stops_helping(rows, "x")
        assert found["helps_at"] == [10]
        assert found["stops_helping_at"] == 100

    def test_a_gap_is_no_end(self) -> None:
        rows = [row(10, 1, -1, 2), row(100, 1, 0.5, 1), row(1000, 1, -1, 0.5)]
        assert stops_helping(rows, "x")["stops_helping_at"] == 1000

    @pytest.mark.parametrize(("low", "helps_at"), [(-1, []), (1, [10, 100])])
    def test_never_and_always_have_no_end(self, low: float, helps_at: list[int]) -> None:
        found = stops_helping([row(100, 1, low, 2), row(10, 1, low, 2)], "x")
        assert found["stops_helping_at"] is None
        assert found["helps_at"] == helps_at
        assert ("No gain" in found["answer"]) == (not helps_at)

    def test_the_best_ratio_is_the_one_of_the_largest_mean(self) -> None:
        rows = [row(10, 1, 0.5, 1), row(10, 3, -1, 4), row(10, 1, 5, 9, sampler="other")]
        found = stops_helping(rows, "x")
        assert [each["ratio"] for each in found["best"]] == [3]
        assert found["helps_at"] == []
        assert [each["helps_at"] for each in found["by_ratio"]] == [[10], []]


@pytest.fixture(scope="module")
def train(digits: LabelledImages) -> LabelledImages:
    return digits[torch.arange(600)]


@pytest.fixture(scope="module")
def test(digits: LabelledImages) -> LabelledImages:
    return digits[torch.arange(600, 900)]


def estimators() -> dict[str, Any]:
    gaussian = {"gaussian_per_class": SAMPLERS.make("gaussian_per_class")}
    return {"hvrt": SAMPLERS.make("hvrt"), **gaussian}


def sweep(
    train: LabelledImages, test: LabelledImages, folder: Path, **more: Any
) -> Mapping[str, Any]:
    defaults = {"options": OPTIONS, "training": TRAINING, "estimators": estimators()}
    arguments: dict[str, Any] = {**defaults, **more}
    return sweep_shots(
        train, test, folder=folder, classifier=CLASSIFIER, seed=0, device=CPU, **arguments
    )


@pytest.fixture(scope="module")
def whole(
    train: LabelledImages, test: LabelledImages, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    return sweep(train, test, tmp_path_factory.mktemp("whole"))


def test_every_sampler_and_ratio_has_a_row(whole: Mapping[str, Any]) -> None:
    assert whole["shots"] == [5, 20]
    assert [each["shots"] for each in whole["skipped"]] == [1000]
    assert whole["skipped"][0]["sampler"] is None
    keys = [(row["shots"], row["row"], row["ratio"], row["n"]) for row in whole["rows"]]
    expected = [
        (shots, name, ratio, 10 * shots * (1 + ratio))
        for shots in (5, 20)
        for name, ratio in [
            ("real_augmented", 0),
            *((name, ratio) for name in estimators() for ratio in (1, 2)),
        ]
    ]
    assert keys == expected
    for row in whole["rows"]:
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 100
        assert (row["gain"] is None) == (row["row"] == "real_augmented")
    assert set(whole["samplers"]) == set(estimators())


def test_a_sweep_that_was_cut_off_goes_on(
    whole: Mapping[str, Any],
    train: LabelledImages,
    test: LabelledImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted, trained = [], []
    fit = TrainingOptions.fit

    def counted_fit(self: Any, images: Tensor, **more: Any) -> Any:
        fitted.append(images)
        return fit(self, images, **more)

    monkeypatch.setattr(TrainingOptions, "fit", counted_fit)

    def counted(*arguments: Any, **more: Any) -> Any:
        trained.append(1)
        return train_classifier(*arguments, **more)

    monkeypatch.setattr("hvrt_diffuser.judge.tstr.train_classifier", counted)
    kept: list[Predictions] = []

    def cut_off(predictions: Predictions) -> None:
        kept.append(Predictions.unpacked(*predictions.packed()))
        if len(kept) == 13:  # all was fitted by then
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(train, test, tmp_path, keep=cut_off)
    assert len(fitted) == 4  # one autoencoder for both samplers of each shots and repetition
    assert len({images.numpy().tobytes() for images in fitted}) == 4
    trained.clear()
    assert sweep(train, test, tmp_path, done=kept[-1]) == whole
    assert len(fitted) == 4
    assert len(trained) == 20 - 13


def test_a_sampler_that_cannot_be_fitted_on_so_few_is_skipped(
    train: LabelledImages, test: LabelledImages, tmp_path: Path
) -> None:
    options = ShotsOptions(shots=(3,), ratios=(1,), seeds=2)
    smote = {"interpolation": SAMPLERS.make("interpolation", {"neighbours": 5})}
    found = sweep(train, test, tmp_path, options=options, estimators=smote)
    (skipped,) = found["skipped"]
    assert (skipped["shots"], skipped["sampler"]) == (3, "interpolation")
    assert "expected more than 5 neighbours" in skipped["reason"]
    assert found["samplers"]["interpolation"]["answer"] == "Nothing was measured."


def test_a_class_with_too_few_images_is_told(
    train: LabelledImages, test: LabelledImages, tmp_path: Path
) -> None:
    options = ShotsOptions(shots=(100, 1000))
    with pytest.raises(InputError, match="expected at least 100, the fewest shots"):
        sweep(train, test, tmp_path, options=options)


def test_steps_are_at_most_those_of_the_options(
    train: LabelledImages, test: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fit(self: TrainingOptions, images: Tensor, **_: Any) -> Any:
        asked.append(self.plan(len(images)).steps)
        raise InputError("enough")

    monkeypatch.setattr(TrainingOptions, "fit", fit)
    for steps, expected in ((20, 20), (None, 300), (500, 300)):
        asked.clear()
        options = ShotsOptions(shots=(20,), ratios=(1,), seeds=2, steps=steps)
        sweep(train, test, tmp_path, options=options, training=TrainingOptions(steps=300))
        assert asked[0] == expected

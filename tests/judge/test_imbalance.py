"""Remedies for classes of unequal size, on real digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_curve
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import ClassifierOptions, train_classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import BOUNDS, Predictions
from hvrt_diffuser.judge.imbalance import (
    ImbalanceOptions,
    imbalance,
    tabulate_imbalance,
    thinned,
)
from hvrt_diffuser.judge.recall import recall_at_precision

CPU = torch.device("cpu")
CLASSIFIER = ClassifierOptions(width=4, steps=40, batch_size=64, learning_rate=0.01)
QUICK = ClassifierOptions(width=4, steps=3, batch_size=32)
NAMES = ("3", "5", "8")
COUNTS = {"3": 270, "5": 15, "8": 15}


@pytest.fixture(scope="module")
def three(digits: LabelledImages) -> LabelledImages:
    """1,500 digits of three classes that are easily mistaken."""
    rows = torch.cat([(digits.labels == int(name)).nonzero()[:, 0] for name in NAMES])
    labels = torch.arange(3).repeat_interleave(500)
    return LabelledImages(digits.images[rows], labels, NAMES, "digits")


@pytest.fixture(scope="module")
def train(three: LabelledImages) -> LabelledImages:
    """300 of them, 90, 5 and 5 %."""
    rows = torch.cat([torch.arange(c * 500, c * 500 + n) for c, n in enumerate(COUNTS.values())])
    return three[rows]


@pytest.fixture(scope="module")
def test(three: LabelledImages) -> LabelledImages:
    """100 of each class."""
    return three[torch.cat([torch.arange(c * 500 + 300, c * 500 + 400) for c in range(3)])]


def rows_of(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["row"]: row for row in table["rows"]}


def run(train: LabelledImages, test: LabelledImages, generate: Any, **more: Any) -> dict[str, Any]:
    options = ImbalanceOptions(seeds=more.pop("seeds", 4))
    arguments: dict[str, Any] = {"classifier": QUICK, "seed": 0, "device": CPU, **more}
    return imbalance(train, test, generate, options, **arguments)


def halved(images: LabelledImages) -> LabelledImages:
    """Every other row and column: a quarter of the work."""
    return replace(images, images=images.images[:, :, ::2, ::2])


def test_repeats_given_as_synthetic_equal_oversampling(
    train: LabelledImages, test: LabelledImages, three: LabelledImages
) -> None:
    train, test, three = halved(train), halved(test), halved(three)

    def repeats(class_id: int, n: int, seed: int) -> Tensor:
        own = train.images[train.labels == class_id]
        source = torch.Generator().manual_seed(seed % 2**32)
        return own[torch.randint(len(own), (n,), generator=source)]

    def fresh(class_id: int, n: int, seed: int) -> Tensor:
        return three.images[class_id * 500 + 400 :][:100].repeat(3, 1, 1, 1)[:n]

    same = rows_of(run(train, test, repeats, classifier=CLASSIFIER))
    gain = same["synthetic_augmented"]["gain"]
    assert gain["low"] <= 0 <= gain["high"]
    assert same["synthetic"]["low"] <= same["oversampled"]["mean"] <= same["synthetic"]["high"]
    # The intervals are not those of everything: fresh real images in their place do help.
    other = rows_of(run(train, test, fresh, classifier=CLASSIFIER))
    assert other["oversampled"] == same["oversampled"] | {"p_holm": other["oversampled"]["p_holm"]}
    assert other["synthetic"]["low"] > same["oversampled"]["mean"]


def test_every_remedy_has_a_row(
    train: LabelledImages, test: LabelledImages, autoencoder: Autoencoder
) -> None:
    def black(class_id: int, n: int, seed: int) -> Tensor:
        return torch.zeros(n, 1, 28, 28, dtype=torch.uint8)

    found = run(train, test, black, seeds=2, autoencoder=autoencoder)
    rows = rows_of(found)
    assert found["counts"] == COUNTS
    assert found["rarest"] == "5"
    assert found["left_out"] == {}
    assert list(rows) == [
        "as_is",
        "class_weights",
        "oversampled",
        "oversampled_augmented",
        "smote",
        "synthetic",
        "synthetic_augmented",
    ]
    assert {name: row["n"] for name, row in rows.items()} == dict.fromkeys(rows, 810) | {
        "as_is": 300
    }
    assert rows["oversampled_augmented"]["gain"] is None
    for row in rows.values():
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 100
        assert (row["recall"] is None) == (row["reason"] is not None)


def test_what_cannot_be_generated_is_left_out(train: LabelledImages, test: LabelledImages) -> None:
    def refuse(class_id: int, n: int, seed: int) -> Tensor:
        raise InputError(f"class {class_id} is unknown")

    found = run(train, test, refuse, seeds=2)
    assert found["left_out"]["synthetic"] == "class 1 is unknown"
    assert "synthetic" not in rows_of(found)


def test_a_constant_answer_is_poor(test: LabelledImages) -> None:
    constant = np.tile(np.array([0.9, 0.05, 0.05]), (300, 1))
    labels = test.labels.numpy()
    right = np.full((300, 3), 0.1, np.float32)
    right[np.arange(300), labels] = 0.8
    table = tabulate_imbalance(
        {"as_is": [constant] * 3, "oversampled_augmented": [right] * 3},
        labels,
        np.array(list(COUNTS.values())),
        NAMES,
        precision=0.9,
    )
    as_is, reference = table["rows"]
    assert table["chance"] == pytest.approx(100 / 3)
    assert (as_is["low"], as_is["high"]) == pytest.approx((100 / 3, 100 / 3))
    learnt = (as_is["high"] - table["chance"]) / (reference["mean"] - table["chance"])
    assert learnt < BOUNDS["learnt_of_real"][1]  # accuracy at the training counts would be 90 %
    assert as_is["recall"] is None
    assert "no threshold" in as_is["reason"]
    assert as_is["per_class"] == {"3": 100, "5": 0, "8": 0}
    assert reference["recall"] == pytest.approx({"mean": 100, "low": 100, "high": 100})
    assert as_is["gain"]["mean"] == pytest.approx(-200 / 3)


class TestRecall:
    COUNTS = (90, 10)

    def made(self, m: int = 200, repetitions: int = 3) -> tuple[list[Any], Any]:
        source = np.random.default_rng(0)
        labels = source.permutation(np.arange(m) % 2)
        return [source.normal(1.5 * labels, 1).round(1) for _ in range(repetitions)], labels

    def test_equals_an_independent_reference(self) -> None:
        scores, labels = self.made()
        weights = np.array(self.COUNTS)[labels]
        expected = []
        for own in scores:
            precision, recall, _ = precision_recall_curve(labels, own, sample_weight=weights)
            expected.append(max((recall * (recall > 0))[precision >= 0.7], default=0))
        found = recall_at_precision(scores, labels, 1, self.COUNTS, precision=0.7, seed=0)
        assert not isinstance(found, str)
        assert found.mean == pytest.approx(100 * np.mean(expected))
        assert 0 <= found.low < found.mean < found.high <= 100

    def test_a_rarer_class_is_harder_to_find(self) -> None:
        scores, labels = self.made(2000)
        common = recall_at_precision(scores, labels, 1, (50, 50), precision=0.8, seed=0)
        rare = recall_at_precision(scores, labels, 1, self.COUNTS, precision=0.8, seed=0)
        assert not isinstance(common, str) and not isinstance(rare, str)
        assert rare.high < common.low

    def test_fewer_test_images_are_less_sure(self) -> None:
        widths = []
        for m in (40, 4000):
            scores, labels = self.made(m, repetitions=1)
            found = recall_at_precision(scores, labels, 1, (50, 50), precision=0.8, seed=0)
            assert not isinstance(found, str)
            widths.append(found.high - found.low)
        assert widths[0] > 3 * widths[1]

    def test_too_few_test_images_are_told(self) -> None:
        scores, labels = self.made(18)
        found = recall_at_precision(scores, labels, 1, self.COUNTS, precision=0.8, seed=0)
        assert found == "9 test images of this class, expected at least 10"


def test_what_was_trained_is_not_trained_again(
    train: LabelledImages, test: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Predictions] = []

    def cut_off(predictions: Predictions) -> None:
        kept.append(Predictions.unpacked(*predictions.packed()))
        if len(kept) == 5:
            raise KeyboardInterrupt

    whole = run(train, test, None, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        run(train, test, None, seeds=2, keep=cut_off)
    trained = []

    def counted(*arguments: Any, **more: Any) -> Any:
        trained.append(1)
        return train_classifier(*arguments, **more)

    monkeypatch.setattr("hvrt_diffuser.judge.tstr.train_classifier", counted)
    assert run(train, test, None, seeds=2, done=kept[-1]) == whole
    assert len(trained) == 4 * 2 - 5


def test_what_is_left_out_says_why(train: LabelledImages, test: LabelledImages) -> None:
    found = run(thinned(train, {"8": 1}, seed=0), test, None, seeds=2)
    assert set(found["left_out"]) == {"smote", "synthetic", "synthetic_augmented"}
    assert found["rarest"] == "8"


def test_one_image_of_a_class_has_no_neighbour(
    train: LabelledImages, test: LabelledImages, autoencoder: Autoencoder
) -> None:
    one = thinned(train, {"8": 1}, seed=0)
    found = run(one, test, None, seeds=2, autoencoder=autoencoder)
    assert "class 8 has 1 training images" in found["left_out"]["smote"]


def test_a_class_without_training_images_is_filled_by_nobody(
    train: LabelledImages, test: LabelledImages
) -> None:
    asked = []

    def generate(class_id: int, n: int, seed: int) -> Tensor:
        asked.append(class_id)
        return train.images[:1].expand(n, -1, -1, -1)

    found = run(train[(train.labels != 2).nonzero()[:, 0]], test, generate, seeds=2)
    assert set(asked) == {1}
    assert found["rarest"] == "5"


def test_even_classes_are_refused(test: LabelledImages) -> None:
    with pytest.raises(InputError, match="each of the 3 classes has 100 training images"):
        run(test, test, None)


class TestThinned:
    def test_keeps_what_was_asked_for(self, test: LabelledImages) -> None:
        found = thinned(test, {"3": 7, "8": 100}, seed=0)
        assert torch.bincount(found.labels).tolist() == [7, 100, 100]
        assert torch.equal(found.images, thinned(test, {"3": 7, "8": 100}, seed=0).images)
        assert not torch.equal(found.images, thinned(test, {"3": 7}, seed=1).images)

    @pytest.mark.parametrize(
        ("counts", "said"),
        [
            ({"7": 3}, "counts names the class '7', expected one of 3, 5, 8"),
            ({"5": 101}, "counts asks for 101 images of class 5, expected 1 to the 100"),
            ({"5": 0}, "counts asks for 0 images"),
        ],
    )
    def test_refuses_what_is_not_there(
        self, test: LabelledImages, counts: dict[str, int], said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            thinned(test, counts, seed=0)

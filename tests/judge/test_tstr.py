"""The arithmetic of the TSTR table, and what is kept of the predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Predictions, Task, mcnemar, tabulate, train_and_test
from hvrt_diffuser.judge.rows import equal_n, fit_on_few
from hvrt_diffuser.samplers import HVRTEstimator

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")
OPTIONS = ClassifierOptions(
    width=4,
    steps=5,
    batch_size=32,
    learning_rate=5e-3,
    weight_decay=0.0,
    precision="float32",
)


def right(b: int, c: int, both: int = 50) -> tuple[Any, Any]:
    """Two classifiers, of which the first alone is right b times and the second alone c times."""
    first = np.repeat([True, False, True], [b, c, both])
    second = np.repeat([False, True, True], [b, c, both])
    return first, second


def test_mcnemar_of_known_counts() -> None:
    # 2 (1 + 10 + 45) / 2^10, and with the sides exchanged.
    assert mcnemar(*right(2, 8)) == pytest.approx(112 / 1024)
    assert mcnemar(*right(8, 2)) == pytest.approx(112 / 1024)
    assert mcnemar(*right(5, 5)) == 1
    assert mcnemar(*right(0, 0)) == 1


def test_mcnemar_nears_its_large_sample_form() -> None:
    b, c = 2100, 1900
    approximate = chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1)
    assert mcnemar(*right(b, c)) == pytest.approx(approximate, rel=0.01)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 50))
def test_mcnemar_does_not_depend_on_what_both_get_right(b: int, c: int, both: int) -> None:
    assert mcnemar(*right(b, c, both)) == mcnemar(*right(b, c, 0))
    assert 0 < mcnemar(*right(b, c, both)) <= 1


@pytest.fixture
def predictions() -> Predictions:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    perfect, shifted = labels.clone(), (labels + 1) % 3
    half = torch.tensor([0, 1, 1, 2, 2, 0])
    return Predictions(
        {
            ("real", 10, 0): perfect,
            ("real", 10, 1): half,
            ("made", 10, 1): shifted,
            ("made", 10, 0): half.clone(),
        },
        {(10, 1): 0.5, (10, 0): 0.75},
        labels,
        {"sampler": "HVRT"},
    )


def test_table_of_known_predictions(predictions: Predictions) -> None:
    found = tabulate(predictions, {("real", 10): None, ("made", 10): ("real", 10)}, NAMES)
    real, made = found["rows"]
    assert real["accuracies"] == [100, 50]
    assert made["accuracies"] == [50, 0]
    assert made["mean"] == 25
    assert made["std"] == pytest.approx(np.std([50, 0], ddof=1))
    assert made["per_class"] == {"a": 25, "b": 25, "c": 25}
    # Three of three that differ in both repetitions: 2 / 2^3.
    assert made["mcnemar_p"] == pytest.approx(0.25)
    assert real["mcnemar_p"] is None
    assert found["confusion"][0]["counts"] == [[3, 1, 0], [0, 3, 1], [1, 0, 3]]
    assert found["trts"] == [
        {"n": 10, "seeds": 2, "mean": 62.5, "std": pytest.approx(12.5 * 2**0.5)}
    ]
    assert found["origin"] == {"sampler": "HVRT"}


def test_predictions_come_back_as_they_were(predictions: Predictions, tmp_path: Path) -> None:
    predictions.save(tmp_path / "predictions.safetensors")
    found = Predictions.load(tmp_path / "predictions.safetensors")
    assert found.reverse == predictions.reverse
    assert found.origin == predictions.origin
    assert found.tested.keys() == predictions.tested.keys()
    for key, values in found.tested.items():
        assert torch.equal(values, predictions.tested[key])


def test_bytes_do_not_depend_on_the_number_of_threads(digits: LabelledImages) -> None:
    test = digits[torch.arange(4000, 4500)]
    tasks = [Task("real", 100, lambda: equal_n(digits[torch.arange(1000)], 100))]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(
                train_and_test(tasks, test, OPTIONS, seeds=3, seed=0, device=CPU, origin={})
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].tested.keys() == found[1].tested.keys()
    for key, values in found[0].tested.items():
        assert torch.equal(values, found[1].tested[key])


def test_an_error_in_a_row_ends_the_training(digits: LabelledImages) -> None:
    few = digits[torch.arange(10)]
    task = Task("few", 10, lambda: lambda seed: (few.images, few.labels))
    with pytest.raises(InputError, match="at least one batch of 32"):
        train_and_test([task], digits, OPTIONS, seeds=3, seed=0, device=CPU, origin={})


def test_test_images_of_one_class_are_refused(digits: LabelledImages) -> None:
    ones = digits[(digits.labels == 1).nonzero()[:, 0]]
    with pytest.raises(InputError, match="one class"):
        train_and_test([], ones, OPTIONS, seeds=2, seed=0, device=CPU, origin={})


@pytest.mark.parametrize("n", [100, 1000, 2500])
@pytest.mark.parametrize("held_out", [0.0, 0.02, 0.3])
def test_a_generator_of_few_images_takes_as_many_steps_as_one_of_all(
    digits: LabelledImages,
    make_options: Callable[..., TrainingOptions],
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    held_out: float,
) -> None:
    asked: list[TrainingOptions] = []

    def train(options: TrainingOptions, images: Tensor, **_: Any) -> Any:
        asked.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingOptions, "fit", train)
    options = make_options(epochs=20, batch_size=256, validation_fraction=held_out)
    few = equal_n(digits, n)(0)
    with pytest.raises(KeyboardInterrupt):
        fit_on_few(*few, 60_000, options, HVRTEstimator(), Augmentation(), seed=0, device=CPU)

    def steps(n: int, options: TrainingOptions) -> tuple[int, int]:
        an_epoch = (n - round(n * held_out)) // options.batch_size
        return options.epochs * an_epoch, an_epoch

    wanted, _ = steps(60_000, options)
    found, an_epoch = steps(n, asked[0])
    assert abs(found - wanted) <= an_epoch / 2

"""The arithmetic of the TSTR table, and what is kept of the predictions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Predictions, Task, cross_fit, tabulate, train_and_test
from hvrt_diffuser.judge.folds import kept_counts, outside, part, pooled
from hvrt_diffuser.judge.rows import equal_n, even_within, fit_on_few, fixed
from hvrt_diffuser.judge.tstr import _halved, of_any_images
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


def sure_of(predicted: Tensor, k: int = 3) -> Tensor:
    """Probabilities of a classifier that says a class with .8, and the others as often."""
    others = 0.2 / (k - 1)
    return (others + (0.8 - others) * torch.nn.functional.one_hot(predicted, k)).half()


@pytest.fixture
def predictions() -> Predictions:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    perfect, shifted = labels.clone(), (labels + 1) % 3
    half = torch.tensor([0, 1, 1, 2, 2, 0])
    return Predictions(
        {
            ("real", 10, 0): sure_of(perfect),
            ("real", 10, 1): sure_of(half),
            ("made", 10, 1): sure_of(shifted),
            ("made", 10, 0): sure_of(half),
        },
        {(10, 1): 0.5, (10, 0): 0.75},
        labels,
        {"sampler": "HVRT"},
        {("never", 5): "too few images"},
    )


def test_table_of_known_predictions(predictions: Predictions) -> None:
    found = tabulate(
        predictions,
        {("real", 10): None, ("made", 10): ("real", 10), ("never", 5): ("real", 10)},
        NAMES,
        asked={("made", 10): 20},
        left_out={("other", 7): "not asked for"},
    )
    real, made = found["rows"]
    assert real["accuracies"] == [100, 50]
    assert made["accuracies"] == [50, 0]
    assert made["mean"] == pytest.approx(25) == made["balanced"]
    assert made["std"] == pytest.approx(np.std([50, 0], ddof=1))
    assert (real["asked"], made["asked"]) == (10, 20)
    assert list(made["per_class"]) == list(NAMES)
    assert [each["mean"] for each in made["per_class"].values()] == pytest.approx([25] * 3)
    assert made["gain"]["mean"] == pytest.approx(-50)
    assert made["gain_per_class"]["b"]["mean"] == pytest.approx(-50)
    assert real["gain"] is real["p"] is real["p_holm"] is real["gain_per_class"] is None
    assert made["p"] == made["p_holm"]
    # Right with .8, wrong with .1 for the true class.
    right, wrong = 0.2**2 + 2 * 0.1**2, 0.9**2 + 0.8**2 + 0.1**2
    assert real["brier"] == pytest.approx(0.75 * right + 0.25 * wrong, rel=1e-3)
    assert real["nll"] == pytest.approx(-0.75 * np.log(0.8) - 0.25 * np.log(0.1), rel=1e-3)
    assert real["ece"] == pytest.approx((0.2 + 0.3) / 2, abs=1e-3)
    assert found["confusion"][0]["counts"] == [[3, 1, 0], [0, 3, 1], [1, 0, 3]]
    assert found["trts"] == [
        {"n": 10, "seeds": 2, "mean": 62.5, "std": pytest.approx(12.5 * 2**0.5)}
    ]
    assert found["origin"] == {"sampler": "HVRT"}
    assert (found["n_test"], found["n_classes"]) == (6, 3)
    assert found["left_out"] == [
        {"row": "other", "n": 7, "reason": "not asked for"},
        {"row": "never", "n": 5, "reason": "too few images"},
    ]
    assert found["gain_over_augmentation"] is found["gain_of_augmentation"] is None
    json.dumps(found, allow_nan=False)


def test_the_gain_over_augmentation_is_of_few_images_where_there_are_such_rows() -> None:
    labels = torch.arange(300) % 3
    accuracies = {"real": 0.8, "real_augmented": 0.9, "real_augmented_and_synthetic": 0.95}
    kept, against = {}, {}
    for few in ("", "few_shot_"):
        above = None
        for name, accuracy in accuracies.items():
            key = (few + name, 9)
            right = torch.arange(300) < 300 * accuracy
            kept |= {
                (*key, r): sure_of(torch.where(right, labels, (labels + 1) % 3)) for r in (0, 1)
            }
            against[key], above = above, key
        accuracies = {name: share - 0.2 for name, share in accuracies.items()}
    found = tabulate(Predictions(kept, {}, labels, {}), against, NAMES)
    over, of = found["gain_over_augmentation"], found["gain_of_augmentation"]
    assert over["of"] == ["few_shot_real_augmented_and_synthetic", 9]
    assert over["over"] == of["of"] == ["few_shot_real_augmented", 9]
    assert (over["mean"], of["mean"]) == (pytest.approx(5), pytest.approx(10))
    assert 0 < over["low"] < over["high"]
    large = {key: real for key, real in against.items() if "few" not in key[0]}
    found = tabulate(Predictions(kept, {}, labels, {}), large, NAMES)
    assert found["gain_over_augmentation"]["of"] == ["real_augmented_and_synthetic", 9]


def test_predictions_come_back_as_they_were(predictions: Predictions, tmp_path: Path) -> None:
    predictions.save(tmp_path / "predictions.safetensors")
    found = Predictions.load(tmp_path / "predictions.safetensors")
    assert found.reverse == predictions.reverse
    assert found.origin == predictions.origin
    assert found.left_out == predictions.left_out
    assert found.probabilities.keys() == predictions.probabilities.keys()
    for key, values in found.probabilities.items():
        assert torch.equal(values, predictions.probabilities[key])


def test_the_class_that_was_predicted_is_the_largest_of_rounded_probabilities() -> None:
    close = torch.tensor([[0.33331, 0.33332, 0.33337], [0.2, 0.40001, 0.39999], [0.5, 0.1, 0.4]])
    halves = _halved(close)
    assert halves.dtype == torch.float16
    assert torch.equal(halves.argmax(1), close.argmax(1))
    assert not torch.equal(close.half().argmax(1), close.argmax(1)), "or nothing was tested"
    torch.testing.assert_close(halves.float(), close, atol=1e-3, rtol=0)


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


def test_an_error_in_a_row_ends_the_training_unless_it_may_be_left_out(
    digits: LabelledImages,
) -> None:
    def refused(seed: int) -> Any:
        raise InputError(f"nothing for {seed}")

    some = digits[:50]
    fine = Task("fine", 50, lambda: lambda seed: (some.images, some.labels))
    for optional in (False, True):
        tasks = [Task("none", 10, lambda: refused, optional=optional), fine]
        run = partial(train_and_test, tasks, some, OPTIONS, seeds=2, seed=0, device=CPU, origin={})
        if optional:
            found = run()
            assert "nothing for" in found.left_out["none", 10]
            assert set(found.tested) == {("fine", 50, 0), ("fine", 50, 1)}
        else:
            with pytest.raises(InputError, match="nothing for"):
                run()


def test_a_row_may_be_trained_until_validation_stops_it(digits: LabelledImages) -> None:
    some = digits[:300]
    until = JudgeOptions(width=4, steps=60, evaluate_every=20, batch_size=32, learning_rate=0.01)
    row = fixed(some.images, some.labels)
    tasks = [Task("steps", 300, lambda: row), Task("until", 300, lambda: row, until=until)]
    found = train_and_test(tasks, digits[4000:], OPTIONS, seeds=2, seed=0, device=CPU, origin={})
    rows = tabulate(found, {("steps", 300): None, ("until", 300): None}, digits.class_names)["rows"]
    assert rows[1]["mean"] > rows[0]["mean"] + 20


# ---- folds


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_are_even_by_class_and_keep_groups_whole(
    digits: LabelledImages, grouped: bool
) -> None:
    pool = pooled(digits[:240], digits[240:303])
    assert torch.equal(pool.images, digits.images[:303])
    if grouped:
        pool = replace(pool, groups=torch.arange(303) // 3)
    fold_of = part(pool, seed=0)
    assert fold_of.bincount().tolist() == pytest.approx([303 / 5] * 5, abs=3 if grouped else 1)
    if grouped:
        assert all(len(fold_of[pool.groups == group].unique()) == 1 for group in range(101))
    kept = kept_counts(pool, fold_of)
    for fold in range(5):
        others = outside(pool, fold_of, fold)
        assert torch.equal(others.labels.bincount(minlength=10), kept)
        held = {image.numpy().tobytes() for image in pool.images[fold_of == fold]}
        assert not held & {image.numpy().tobytes() for image in others.images}
    assert kept.sum() >= 0.8 * 303 - (40 if grouped else 10)


def test_too_few_images_to_part_are_refused(digits: LabelledImages) -> None:
    with pytest.raises(InputError, match="cannot be parted into 5 folds"):
        part(digits[:4], seed=0)


def test_a_row_that_remembers_its_images_does_not_know_those_of_its_fold(
    digits: LabelledImages,
) -> None:
    """Every image is predicted once in a repetition, by classifiers that did not see it."""
    pool = digits[:150]
    fold_of = part(pool, seed=0)
    seen: list[set[bytes]] = []

    def tasks_of(train: LabelledImages) -> list[Task]:
        seen.append({image.numpy().tobytes() for image in train.images})
        return [Task("real", 100, lambda: fixed(train.images, train.labels))]

    found = cross_fit(
        tasks_of, pool, fold_of, OPTIONS, seeds=2, seed=0, device=CPU, origin={"by": "HVRT"}
    )
    assert found.origin == {"by": "HVRT"}
    assert torch.equal(found.labels, pool.labels)
    assert set(found.tested) == {("real", 100, 0), ("real", 100, 1)}
    for values in found.probabilities.values():
        torch.testing.assert_close(values.float().sum(1), torch.ones(150), atol=2e-3, rtol=0)
    for image, fold in zip(pool.images, fold_of.tolist(), strict=True):
        assert image.numpy().tobytes() not in seen[fold]


# ---- rows


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.floats(0, 1))
def test_counts_are_as_even_as_they_can_be(counts: list[int], share: float) -> None:
    n = round(share * sum(counts))
    taken = even_within(torch.tensor(counts), n).tolist()
    assert sum(taken) == n
    assert all(0 <= own <= most for own, most in zip(taken, counts, strict=True))
    open_ = [own for own, most in zip(taken, counts, strict=True) if own < most]
    assert not open_ or max(taken) - min(open_) <= 1


# ---- images of anybody


STEADY = ClassifierOptions(width=8, steps=50, batch_size=64, learning_rate=5e-3)


@pytest.fixture(scope="module")
def judged(digits: LabelledImages) -> Callable[[LabelledImages, int], dict[str, Any]]:
    def of(synthetic: LabelledImages, n: int = 10_000) -> dict[str, Any]:
        return of_any_images(
            digits[:600], synthetic, digits[4000:], STEADY, n=n, seeds=3, seed=0, device=CPU
        )

    return of


def test_the_real_images_repeated_gain_nothing_over_augmentation(
    digits: LabelledImages, judged: Any
) -> None:
    found = judged(digits[:600])
    gain = found["gain_over_augmentation"]
    assert gain["low"] <= 0 <= gain["high"]
    assert gain["of"] == ["real_augmented_and_synthetic", 1200]
    assert gain["over"] == ["real_augmented", 600]
    rows = {row["row"]: row for row in found["rows"]}
    assert rows["synthetic"]["against"] == ["real_all", 600]
    assert rows["synthetic"]["gain"]["low"] <= 0 <= rows["synthetic"]["gain"]["high"]
    assert rows["synthetic"]["asked"] == 10_000
    assert found["steps"] == 50


def test_fresh_images_gain_and_permuted_labels_lose(digits: LabelledImages, judged: Any) -> None:
    fresh = digits[600:3000]
    gained = judged(fresh, 2400)
    assert gained["gain_over_augmentation"]["mean"] > 0
    permuted = fresh.labels[torch.randperm(2400, generator=torch.Generator().manual_seed(0))]
    lost = judged(replace(fresh, labels=permuted), 2400)
    assert lost["gain_over_augmentation"]["high"] < 0
    assert lost["rows"][1]["gain"]["high"] < -50


def test_synthetic_images_without_a_class_are_compared_with_real_ones_of_all(
    digits: LabelledImages, judged: Any
) -> None:
    """As many images, and those of other classes in place of what is missing."""
    made = digits[600:3000]
    made = made[(made.labels != 7).nonzero()[:, 0]]
    rows = {row["row"]: row for row in judged(made, 300)["rows"]}
    assert rows["synthetic"]["against"] == ["real_equal_n", 300]
    assert rows["synthetic"]["per_class"]["7"]["mean"] == 0
    assert rows["real_equal_n"]["per_class"]["7"]["mean"] > 50


# ---- errors of training


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

    plan = asked[0].plan(n)
    assert plan.steps == options.plan(60_000).steps == 20 * (round(60_000 * (1 - held_out)) // 256)
    assert plan.batch_size <= plan.n_train / 2


class Counting:
    """Augments nothing, and counts the batches."""

    def __init__(self) -> None:
        self.batches = 0

    def apply(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        self.batches += 1
        return images


def test_an_interrupt_ends_the_trainings_of_other_threads(digits: LabelledImages) -> None:
    counting, begun = Counting(), threading.Event()

    def interrupted(seed: int) -> Any:
        begun.wait()
        raise KeyboardInterrupt

    def long(seed: int) -> Any:
        begun.set()
        return digits.images[:256], digits.labels[:256]

    tasks = [
        Task("long", 256, lambda: long, augment=counting),
        Task("interrupted", 256, lambda: interrupted),
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_and_test(
                tasks,
                digits[:100],
                ClassifierOptions(width=4, steps=100_000),
                seeds=2,
                seed=0,
                device=CPU,
                origin={},
            )
    finally:
        torch.set_num_threads(before)
    assert counting.batches < 100_000
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]

"""Classifiers learn real digits, in a number of steps that does not depend on their number."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.classifiers import (
    Classifier,
    ClassifierOptions,
    JudgeOptions,
    NetworkName,
    classify,
    look_within,
    train_classifier,
    train_judge,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages

CPU = torch.device("cpu")


def options(**changes: Any) -> ClassifierOptions:
    plain = {
        "width": 8,
        "steps": 150,
        "batch_size": 64,
        "precision": "float32",
    }
    if changes.get("network") != "whitened":  # whose own are taken
        plain |= {"learning_rate": 5e-3, "weight_decay": 1e-4}
    return ClassifierOptions(**plain | changes)


def judge_options(**changes: Any) -> JudgeOptions:
    plain = {"shift": 2, "validation_fraction": 0.2, "evaluate_every": 50, "patience": 3}
    return JudgeOptions(
        **options(network=changes.get("network", "strided")).model_dump() | plain | changes
    )


def accuracy(model: Classifier, data: LabelledImages) -> float:
    _, probabilities = classify(model, data.images, CPU)
    return (probabilities.argmax(1) == data.labels).float().mean().item()


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch size of each pass of a classifier in training."""
    taken: list[int] = []
    forward = Classifier.forward

    def counted(self: Classifier, x: Tensor) -> Tensor:
        if self.training:
            taken.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", counted)
    return taken


# ---- learning


@pytest.fixture(scope="module")
def classifier(digits: LabelledImages) -> Classifier:
    kept = digits[:4000]
    return train_classifier(kept.images, kept.labels, 10, options(), seed=0, device=CPU)


@pytest.fixture(scope="module")
def judge(digits: LabelledImages) -> Classifier:
    kept = digits[:4000]
    return train_judge(kept.images, kept.labels, 10, judge_options(steps=200), seed=0, device=CPU)


def test_held_out_digits_are_recognised(classifier: Classifier, digits: LabelledImages) -> None:
    assert accuracy(classifier, digits[4000:]) > 0.9
    assert not classifier.training


def test_the_judge_recognises_held_out_digits(judge: Classifier, digits: LabelledImages) -> None:
    assert accuracy(judge, digits[4000:]) > 0.9
    assert not judge.training


def test_the_judge_recognises_moved_digits_better_with_random_translations(
    judge: Classifier, digits: LabelledImages
) -> None:
    kept, held = digits[:4000], digits[4000:]
    unmoved = train_judge(
        kept.images, kept.labels, 10, judge_options(steps=200, shift=0), seed=0, device=CPU
    )
    moved = LabelledImages(held.images.roll((2, -2), (2, 3)), held.labels, held.class_names, "x")
    assert accuracy(judge, moved) > accuracy(unmoved, moved) + 0.02


def test_whitened_patches_teach_held_out_digits_from_few(digits: LabelledImages) -> None:
    kept, held = digits[:1000], digits[4000:]
    short = options(network="whitened", steps=60)
    model = train_classifier(kept.images, kept.labels, 10, short, seed=0, device=CPU)
    assert accuracy(model, held) > 0.9


@pytest.mark.parametrize("network", get_args(NetworkName))
def test_bfloat16_learns_too(digits: LabelledImages, network: NetworkName) -> None:
    kept = digits[:500]
    short = options(steps=40, precision="bfloat16", network=network)
    model = train_classifier(kept.images, kept.labels, 10, short, seed=0, device=CPU)
    assert accuracy(model, kept) > 0.6
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("network", get_args(NetworkName))
def test_a_judge_learns_and_is_looked_at_in_bfloat16(
    digits: LabelledImages, network: NetworkName
) -> None:
    kept = digits[:600]
    short = judge_options(steps=60, evaluate_every=20, precision="bfloat16", network=network)
    model = train_judge(kept.images, kept.labels, 10, short, seed=0, device=CPU)
    assert accuracy(model, digits[4000:]) > 0.6
    features, probabilities = classify(model, kept.images, CPU)
    assert features.dtype == probabilities.dtype == torch.float32


def test_a_class_without_an_image_has_a_probability(digits: LabelledImages) -> None:
    kept = digits[:200]
    model = train_classifier(kept.images, kept.labels, 12, options(steps=5), seed=0, device=CPU)
    assert classify(model, kept.images, CPU)[1].shape == (200, 12)


def test_every_option_has_a_default() -> None:
    assert ClassifierOptions().width < JudgeOptions().width


def test_a_loss_that_runs_away_is_an_error_that_names_the_learning_rate(
    digits: LabelledImages,
) -> None:
    kept = digits[:100]
    wild = options(steps=10).model_copy(update={"learning_rate": 1e30})  # options have bounds
    with pytest.raises(FloatingPointError, match=r"of training the classifier, .*learning_rate"):
        train_classifier(kept.images, kept.labels, 10, wild, seed=0, device=CPU)


# ---- the same again


@pytest.mark.parametrize("network", get_args(NetworkName))
@pytest.mark.parametrize("kind", ["classifier", "judge"])
def test_the_same_seed_gives_the_same_bytes(
    digits: LabelledImages,
    tmp_path: Path,
    kind: str,
    network: NetworkName,
    global_generators_untouched: Any,
) -> None:
    kept = digits[:300]

    def train(seed: int) -> Classifier:
        with global_generators_untouched():
            if kind == "classifier":
                short = options(steps=8, network=network)
                return train_classifier(kept.images, kept.labels, 10, short, seed=seed, device=CPU)
            looks = judge_options(steps=8, evaluate_every=4, network=network)
            return train_judge(kept.images, kept.labels, 10, looks, seed=seed, device=CPU)

    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        torch.rand(3)  # what the global generator does is of no account
        train(seed).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


# ---- steps


@pytest.mark.parametrize(("n", "batch"), [(2, 2), (63, 63), (64, 64), (100, 64), (1000, 64)])
def test_steps_do_not_depend_on_the_number_of_images(
    digits: LabelledImages, steps_taken: list[int], n: int, batch: int
) -> None:
    """Nor do batches, unless there are fewer images."""
    kept = digits[:n]
    train_classifier(kept.images, kept.labels, 10, options(steps=20), seed=0, device=CPU)
    assert steps_taken == [batch] * 20


def test_every_image_is_seen_before_any_is_seen_again(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = digits[:96]
    assert len(kept.images.unique(dim=0)) == 96
    seen: list[Tensor] = []
    forward = Classifier.forward

    def watched(self: Classifier, x: Tensor) -> Tensor:
        seen.append(x)
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", watched)
    short = options(steps=6, batch_size=32)
    train_classifier(kept.images, kept.labels, 10, short, seed=0, device=CPU)
    for epoch in (torch.cat(seen[:3]), torch.cat(seen[3:])):
        assert len(epoch.unique(dim=0)) == 96
    assert not torch.equal(seen[0], seen[3])


def test_the_judge_stops_early_and_keeps_the_best(
    digits: LabelledImages, steps_taken: list[int]
) -> None:
    """Labels without a meaning: the longer the training, the worse the validation loss."""
    n = 400
    noise = torch.randint(10, (2 * n,), generator=torch.Generator().manual_seed(0))
    images, labels = digits.images[:n], noise[:n]

    def loss_on_fresh(model: Classifier) -> float:
        _, probabilities = classify(model, digits.images[n : 2 * n], CPU)
        return F.nll_loss(probabilities.clamp_min(1e-12).log(), noise[n:]).item()

    chosen = {"steps": 200, "evaluate_every": 10, "shift": 0, "batch_size": 32}
    patient = train_judge(
        images, labels, 10, judge_options(**chosen, patience=1000), seed=0, device=CPU
    )
    assert len(steps_taken) == 200
    steps_taken.clear()
    judge = train_judge(images, labels, 10, judge_options(**chosen, patience=5), seed=0, device=CPU)
    assert 50 <= len(steps_taken) < 200
    assert len(steps_taken) % 10 == 0
    last = train_classifier(
        images, labels, 10, options(steps=200, batch_size=32), seed=0, device=CPU
    )
    assert loss_on_fresh(last) > 1.5 * loss_on_fresh(judge)
    assert loss_on_fresh(last) > 1.5 * loss_on_fresh(patient)


def test_the_judge_takes_no_more_than_its_steps(
    digits: LabelledImages, steps_taken: list[int]
) -> None:
    kept = digits[:300]
    looks = judge_options(steps=25, evaluate_every=10, patience=100)
    train_judge(kept.images, kept.labels, 10, looks, seed=0, device=CPU)
    assert len(steps_taken) == 25


# ---- mirror images


def facing(
    monkeypatch: pytest.MonkeyPatch, channels: int, **changes: Any
) -> list[tuple[bool, ...]]:
    """By image, whether it was met as it is in each of four passes of the judge's training."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, channels, 8, 8), generator=source, dtype=torch.uint8)
    met: dict[int, list[bool]] = {}
    forward = Classifier.forward

    def watched(self: Classifier, x: Tensor) -> Tensor:
        for own in (x * 255).round().byte() if self.training else []:
            for i, image in enumerate(images):
                if torch.equal(own, image) or torch.equal(own, image.flip(2)):
                    met.setdefault(i, []).append(torch.equal(own, image))
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", watched)
    plain = judge_options(steps=8, evaluate_every=8, shift=0, batch_size=16, **changes)
    train_judge(images, torch.arange(40) % 2, 2, plain, seed=0, device=CPU)
    assert len(met) == 32  # a fifth is held out
    return [tuple(own) for own in met.values()]


@pytest.mark.parametrize(("channels", "changes"), [(3, {}), (1, {"mirrored": "always"})])
def test_mirror_images_come_by_turns(
    monkeypatch: pytest.MonkeyPatch, channels: int, changes: dict[str, Any]
) -> None:
    found = facing(monkeypatch, channels, **changes)
    assert set(found) == {(True, False, True, False), (False, True, False, True)}


@pytest.mark.parametrize(("channels", "changes"), [(1, {}), (3, {"mirrored": "never"})])
def test_a_grey_image_is_not_mirrored_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, channels: int, changes: dict[str, Any]
) -> None:
    assert set(facing(monkeypatch, channels, **changes)) == {(True,) * 4}


@pytest.mark.parametrize(
    ("channels", "changes", "alike"),
    [
        (3, {}, True),
        (1, {}, False),
        (1, {"mirrored": "always"}, True),
        (3, {"mirrored": "never"}, False),
    ],
)
def test_a_judge_of_mirror_images_sees_both_alike(
    channels: int, changes: dict[str, Any], alike: bool
) -> None:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, channels, 8, 8), generator=source, dtype=torch.uint8)
    short = judge_options(steps=4, evaluate_every=4, **changes)
    judge = train_judge(images, torch.arange(40) % 2, 2, short, seed=0, device=CPU)
    one, other = (classify(judge, each, CPU)[0] for each in (images, images.flip(3)))
    assert torch.allclose(one, other, atol=1e-5) == alike


# ---- augmentation


class Nothing:
    """Changes nothing, and counts the batches."""

    batches = 0

    def apply(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        assert images.dtype == torch.uint8
        torch.rand(1, generator=generator)
        self.batches += 1
        return images


@pytest.mark.parametrize("kind", ["classifier", "judge"])
def test_weights_and_batches_are_those_without_augmentation(
    digits: LabelledImages, kind: str
) -> None:
    kept, nothing = digits[:300], Nothing()
    if kind == "classifier":
        train = partial(train_classifier, options=options(steps=8))
    else:
        train = partial(train_judge, options=judge_options(steps=8, evaluate_every=4))
    plain, same = (
        train(kept.images, kept.labels, 10, seed=0, device=CPU, augment=augment)
        for augment in (None, nothing)
    )
    assert nothing.batches == 8
    for one, other in zip(plain.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_augmentation_helps_few_digits(digits: LabelledImages) -> None:
    kept, held = digits[:500], digits[3000:]
    found = []
    for augment in (None, Augmentation()):
        model = train_classifier(
            kept.images, kept.labels, 10, options(), seed=0, device=CPU, augment=augment
        )
        found.append(accuracy(model, held))
    assert found[1] > found[0] + 0.01


# ---- classify


def test_features_and_probabilities_have_their_shapes(
    classifier: Classifier, digits: LabelledImages
) -> None:
    features, probabilities = classify(classifier, digits.images[:7], CPU)
    assert features.shape == (7, 64)
    assert probabilities.shape == (7, 10)
    assert features.dtype == probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7))
    with torch.inference_mode():
        expected = torch.softmax(classifier.logits(features), 1)
    torch.testing.assert_close(probabilities, expected)


@pytest.mark.parametrize("look", [lambda *given: classify(*given)[0], look_within])
def test_an_image_is_judged_alike_in_any_company(
    classifier: Classifier, digits: LabelledImages, look: Any
) -> None:
    many = look(classifier, digits.images[:1100], CPU)
    assert many.dtype == torch.float32
    for place in (slice(0, 1), slice(3, 10), slice(990, 1010)):
        alone = look(classifier, digits.images[place], CPU)
        torch.testing.assert_close(alone, many[place], rtol=1e-4, atol=1e-4)


def test_a_classifier_left_in_training_mode_still_judges_alone(
    classifier: Classifier, digits: LabelledImages
) -> None:
    expected, _ = classify(classifier, digits.images[:20], CPU)
    classifier.train()
    found, _ = classify(classifier, digits.images[:20], CPU)
    classifier.eval()
    assert torch.equal(found, expected)


# ---- what is refused


@pytest.mark.parametrize("shape", [(1, 28, 27), (3, 28, 28), (28, 28)])
def test_images_of_another_shape_are_refused(
    classifier: Classifier, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=r"of shape \(1, 28, 28\) and was given"):
        classify(classifier, torch.zeros(4, *shape, dtype=torch.uint8), CPU)
    with pytest.raises(InputError, match=r"of shape \(1, 28, 28\) and was given"):
        look_within(classifier, torch.zeros(4, *shape, dtype=torch.uint8), CPU)


def test_a_single_image_is_refused(digits: LabelledImages) -> None:
    with pytest.raises(InputError, match=r"1 images were given .* at least two"):
        train_classifier(digits.images[:1], digits.labels[:1], 10, options(), seed=0, device=CPU)


@pytest.mark.parametrize("n", [300, 4])
def test_a_class_of_one_image_is_trained_on(digits: LabelledImages, n: int) -> None:
    """Of 300 images some are held out, of 4 none."""
    images = digits.images[:n].clone()
    images[3] = 255 - images[3]
    labels = (torch.arange(n) == 3).long()
    model = train_judge(images, labels, 2, judge_options(steps=60), seed=0, device=CPU)
    assert not model.training
    _, probabilities = classify(model, images[3:4], CPU)
    assert probabilities[0, 1] > 0.5

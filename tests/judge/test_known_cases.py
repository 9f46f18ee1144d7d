"""Cases whose verdict is known before anything is measured, on real digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import gaussian_blur, rotate

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    decode_latents,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions, train_judge
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import (
    Task,
    examine,
    reach_verdict,
    tabulate,
    train_and_test,
    trained_extractors,
    untrained_extractors,
)
from hvrt_diffuser.judge.rows import equal_n, fixed

CPU = torch.device("cpu")
JUDGE = JudgeOptions(
    width=16,
    steps=300,
    batch_size=128,
    learning_rate=3e-3,
    weight_decay=0.05,
    precision="float32",
    shift=2,
    validation_fraction=0.1,
    evaluate_every=50,
    patience=3,
)
SMALL = ClassifierOptions(
    width=8,
    steps=60,
    batch_size=64,
    learning_rate=5e-3,
    weight_decay=0.0,
    precision="float32",
)
Case = Callable[[LabelledImages], dict[str, Any]]


@pytest.fixture(scope="module")
def parts(digits: LabelledImages) -> dict[str, LabelledImages]:
    """Training, test and fresh images: nobody has seen the last."""
    return {
        "train": digits[torch.arange(2500)],
        "test": digits[torch.arange(2500, 3700)],
        "fresh": digits[torch.arange(3700, 5000)],
    }


@pytest.fixture(scope="module")
def measured(parts: dict[str, LabelledImages]) -> Case:
    """What the judge finds in synthetic images."""
    train, test = parts["train"], parts["test"]
    judge = train_judge(train.images, train.labels, 10, JUDGE, seed=0, device=CPU)
    extractors = {
        **trained_extractors(judge, CPU),
        **untrained_extractors(train.images, CPU),
    }

    def run(synthetic: LabelledImages) -> dict[str, Any]:
        return examine(
            synthetic,
            train,
            test,
            extractors,
            judge=judge,
            expected=torch.arange(10),
            seed=0,
            device=CPU,
        )

    return run


@pytest.fixture(scope="module")
def real(measured: Case, parts: dict[str, LabelledImages]) -> dict[str, Any]:
    """Fresh real images, taken for synthetic ones."""
    return measured(parts["fresh"])


def changed(images: LabelledImages, change: Callable[[Tensor], Tensor]) -> LabelledImages:
    return replace(images, images=change(images.images))


def grade(found: dict[str, Any], question: str) -> str:
    verdict: str = reach_verdict(found)[question]["grade"]
    return verdict


def grades(found: dict[str, Any], question: str) -> dict[str, str]:
    return {f["name"]: f["grade"] for f in reach_verdict(found)[question]["findings"]}


def half_of_each_class(images: LabelledImages) -> LabelledImages:
    """The images on one side of the first principal component of their class."""
    kept = []
    for c in range(10):
        own = (images.labels == c).nonzero()[:, 0]
        x = images.images[own].flatten(1).float()
        x = x - x.mean(0)
        side = x @ torch.linalg.svd(x, full_matrices=False)[2][0]
        kept.append(own[side > side.median()])
    return images[torch.cat(kept).sort().values]


def test_fresh_real_images_are_poor_in_no_way(real: dict[str, Any]) -> None:
    verdict = reach_verdict(real)
    for own in real["likeness"].values():
        assert own["low"] < 0.02 and own["high"] > -0.02, real["likeness"]
    for question in ("likeness", "novelty", "membership"):
        assert verdict[question]["grade"] in ("good", "unknown"), verdict[question]
        assert verdict[question]["findings"][0]["between"][0] == "good"
    assert verdict["utility"]["grade"] == "unknown"  # nothing was trained on them
    assert grades(real, "utility")["label_agreement"] == "good"


def shifted(x: Tensor, right: int, down: int) -> Tensor:
    return torch.roll(x, (down, right), (2, 3))


def turned(x: Tensor) -> Tensor:
    return rotate(x, 10.0, InterpolationMode.BILINEAR)


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": lambda x: x,
    "moved by a pixel": lambda x: shifted(x, 1, 0),
    "moved by two, diagonally": lambda x: shifted(x, 2, 2),
    "turned by 10 degrees": turned,
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=[] if "two" in name else [pytest.mark.slow])
        for name, change in COPIES.items()
    ],
)
def test_copies_are_flagged_however_they_are_moved(
    measured: Case, parts: dict[str, LabelledImages], change: Callable[[Tensor], Tensor]
) -> None:
    found = measured(changed(parts["train"][torch.arange(1300)], change))
    assert grade(found, "novelty") in ("fair", "poor"), reach_verdict(found)["novelty"]
    assert grade(found, "membership") in ("fair", "poor"), reach_verdict(found)["membership"]


def test_a_quarter_of_copies_is_flagged(measured: Case, parts: dict[str, LabelledImages]) -> None:
    some = parts["fresh"]
    images = torch.cat([parts["train"].images[:325], some.images[325:]])
    labels = torch.cat([parts["train"].labels[:325], some.labels[325:]])
    found = measured(replace(some, images=images, labels=labels))
    assert grade(found, "novelty") == "poor"
    assert found["copies"]["exact"] == 325
    assert found["copies"]["tail"] >= 0.2
    assert grade(found, "membership") != "good"


@pytest.mark.slow
def test_copies_through_an_autoencoder_are_flagged(
    measured: Case, parts: dict[str, LabelledImages], make_options: Callable[..., Any]
) -> None:
    options = make_options(
        latent_dim=32, width=16, epochs=30, batch_size=64, validation_fraction=0.0
    )
    model: Autoencoder = train_autoencoder(parts["train"].images, options, seed=0, device=CPU)[0]
    some = parts["train"][torch.arange(1300)]
    latents, _ = encode_images(model, some.images, CPU)
    found = measured(changed(some, lambda x: decode_latents(model, latents, CPU)))
    assert found["label_agreement"]["synthetic"]["percent"] > 85  # it shows digits
    assert grade(found, "novelty") in ("fair", "poor"), reach_verdict(found)["novelty"]
    assert grade(found, "membership") in ("fair", "poor"), reach_verdict(found)["membership"]


@pytest.mark.slow
def test_a_class_that_is_missing_is_flagged(
    measured: Case, real: dict[str, Any], parts: dict[str, LabelledImages]
) -> None:
    fresh = parts["fresh"]
    found = measured(fresh[(fresh.labels != 3).nonzero()[:, 0]])
    assert found["missing_classes"] == ["3"]
    assert grade(found, "likeness") == "poor"
    assert found["likeness"]["classifier"]["e"] > 0.01 + real["likeness"]["classifier"]["e"]


@pytest.mark.parametrize("n", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_half_of_every_class_missing_is_never_good(
    measured: Case, parts: dict[str, LabelledImages], n: int
) -> None:
    found = measured(half_of_each_class(parts["fresh"])[torch.arange(n)])
    assert grade(found, "likeness") != "good", reach_verdict(found)["likeness"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda x: gaussian_blur(x, [9, 9], [2.0, 2.0]), id="blurred", marks=pytest.mark.slow
        ),
        pytest.param(
            lambda x: (x.float() * 0.4).to(torch.uint8), id="darker", marks=pytest.mark.slow
        ),
        pytest.param(
            lambda x: x.clamp(min=90),
            id="on a brighter ground",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda x: (
                (x + 25 * ((torch.arange(28)[:, None] + torch.arange(28)) % 2))
                .clamp(0, 255)
                .to(torch.uint8)
            ),
            id="a faint chessboard over it",
        ),
    ],
)
def test_images_of_another_look_are_flagged(
    measured: Case, parts: dict[str, LabelledImages], change: Callable[[Tensor], Tensor]
) -> None:
    found = measured(changed(parts["fresh"], change))
    assert grade(found, "likeness") == "poor", reach_verdict(found)["likeness"]


@pytest.mark.slow
def test_noise_is_no_image(measured: Case, parts: dict[str, LabelledImages]) -> None:
    noise = torch.randint(
        0, 256, parts["fresh"].images.shape, generator=torch.Generator().manual_seed(0)
    )
    found = measured(replace(parts["fresh"], images=noise.to(torch.uint8)))
    assert grade(found, "likeness") == "poor"
    assert grade(found, "utility") == "poor"


@pytest.mark.slow
def test_permuted_labels_are_flagged(measured: Case, parts: dict[str, LabelledImages]) -> None:
    fresh = parts["fresh"]
    permuted = fresh.labels[torch.randperm(len(fresh), generator=torch.Generator().manual_seed(0))]
    found = measured(replace(fresh, labels=permuted))
    assert grade(found, "utility") == "poor"
    assert found["label_agreement"]["synthetic"]["percent"] < 20
    assert grade(found, "likeness") != "poor"  # pictures are as they were


def test_permuted_labels_teach_nothing(parts: dict[str, LabelledImages]) -> None:
    fresh, n = parts["fresh"], 600
    source = torch.Generator().manual_seed(0)
    permuted = fresh.labels[torch.randperm(len(fresh), generator=source)]
    rows = {
        ("real_equal_n", n): equal_n(parts["train"], n),
        ("synthetic", n): fixed(fresh.images[:n], permuted[:n]),
        ("good", n): fixed(fresh.images[:n], fresh.labels[:n]),
    }
    real = ("real_equal_n", n)
    tasks = [
        Task(*key, lambda row=row: row, None if key == real else real) for key, row in rows.items()
    ]
    predictions = train_and_test(
        tasks, parts["test"], SMALL, seeds=2, seed=0, device=CPU, origin={}
    )
    table = tabulate(
        predictions, {(t.row, t.n): t.against for t in tasks}, parts["test"].class_names
    )
    found = {row["row"]: row for row in table["rows"]}
    assert found["synthetic"]["mean"] < 40 < found["real_equal_n"]["mean"]
    assert found["synthetic"]["gain"]["high"] < -20
    assert found["good"]["mean"] == pytest.approx(found["real_equal_n"]["mean"], abs=8)


@pytest.mark.slow
def test_a_sampler_that_collapsed_is_flagged(
    measured: Case, parts: dict[str, LabelledImages]
) -> None:
    fresh = parts["fresh"]
    few = torch.cat([(fresh.labels == c).nonzero()[:1, 0] for c in range(10)])
    found = measured(fresh[few[torch.arange(1300) % 10]])
    assert grade(found, "likeness") == "poor"
    assert found["copies"]["repeats"] == 1290


class TestBadInput:
    def test_images_of_another_size(self, measured: Case, parts: dict[str, LabelledImages]) -> None:
        with pytest.raises(InputError, match=r"\(1, 20, 28\).*\(1, 28, 28\)"):
            measured(changed(parts["fresh"], lambda x: x[:, :, :20]))

    def test_images_of_other_channels(
        self, measured: Case, parts: dict[str, LabelledImages]
    ) -> None:
        with pytest.raises(InputError, match=r"\(3, 28, 28\).*\(1, 28, 28\)"):
            measured(changed(parts["fresh"], lambda x: x.expand(-1, 3, -1, -1)))

    def test_other_classes(self, measured: Case, parts: dict[str, LabelledImages]) -> None:
        with pytest.raises(InputError, match="classes"):
            measured(replace(parts["fresh"], class_names=tuple("abcdefghij")))

    def test_the_same_image_over_and_over(
        self, measured: Case, parts: dict[str, LabelledImages]
    ) -> None:
        with pytest.raises(InputError, match="the same one"):
            measured(changed(parts["fresh"], lambda x: x[:1].expand_as(x)))

    def test_fewer_images_than_features_are_too_few_to_tell(
        self, measured: Case, parts: dict[str, LabelledImages]
    ) -> None:
        found = measured(parts["fresh"][torch.arange(40)])
        assert grade(found, "likeness") == "unknown"
        for extractor in ("classifier", "random"):
            assert found["likeness"][extractor]["e"] is None

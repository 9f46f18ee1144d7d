"""Cases whose verdict is known before anything is measured, on real digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    decode_latents,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions, classify, train_judge
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import (
    Bench,
    Task,
    classifier_features,
    gather,
    measure,
    reach_verdict,
    tabulate,
    train_and_test,
)
from hvrt_diffuser.judge.rows import equal_n, fixed
from hvrt_diffuser.samplers import HVRTEstimator

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
def own_autoencoder(
    parts: dict[str, LabelledImages], make_options: Callable[..., Any]
) -> Autoencoder:
    options = make_options(latent_dim=16, width=8, epochs=6, batch_size=64, validation_fraction=0.0)
    return train_autoencoder(parts["train"].images, options, seed=0, device=CPU)[0]


@pytest.fixture(scope="module")
def measured(
    parts: dict[str, LabelledImages],
    own_autoencoder: Autoencoder,
    make_options: Callable[..., Any],
) -> Case:
    """What the judge measures of synthetic images."""
    train, test, autoencoder = parts["train"], parts["test"], own_autoencoder
    vae, _ = train_autoencoder(train.images, make_options(beta=1.0, epochs=1), seed=0, device=CPU)
    judge = train_judge(train.images, train.labels, 10, JUDGE, seed=0, device=CPU)
    bench = Bench(train, test, judge, n=1300, compared=1300, device=CPU, autoencoder=autoencoder)
    sampler = HVRTEstimator().fit(bench.latents, train.labels)
    _, probabilities = classify(judge, test.images, CPU)
    accuracy = 100 * (probabilities.argmax(1) == test.labels).double().mean().item()

    def run(synthetic: LabelledImages) -> dict[str, Any]:
        evidence = gather(
            synthetic,
            bench,
            sampler,
            ("vae_beta_1", vae),
            {"classifier": classifier_features(judge, CPU)},
            class_id=None,
            seed=0,
        )
        return {"judge_accuracy": accuracy, **measure(evidence)}

    return run


@pytest.fixture(scope="module")
def real(measured: Case, parts: dict[str, LabelledImages]) -> dict[str, Any]:
    """Fresh real images, taken for synthetic ones."""
    return measured(parts["fresh"])


def changed(images: LabelledImages, change: Callable[[Tensor], Tensor]) -> LabelledImages:
    return replace(images, images=change(images.images))


def grades(found: dict[str, Any], question: str) -> dict[str, str]:
    return {f["name"]: f["grade"] for f in reach_verdict(found)[question]["findings"]}


def test_fresh_real_images_are_good_in_every_way(real: dict[str, Any]) -> None:
    verdict = reach_verdict(real)
    assert verdict["likeness"]["grade"] == "good", verdict["likeness"]
    assert verdict["novelty"]["grade"] == "good", verdict["novelty"]
    assert verdict["utility"]["grade"] == "unknown"  # nothing was trained on them
    assert grades(real, "utility") == {"label_agreement": "good"}
    assert real["fd_classifier"]["synthetic"] == pytest.approx(
        real["fd_classifier"]["real_floor"], rel=0.5
    )
    assert real["nearest_neighbour_test_classifier"]["synthetic"]["low"] < 0.5


def test_copies_look_real_and_are_flagged(
    measured: Case, real: dict[str, Any], parts: dict[str, LabelledImages]
) -> None:
    found = measured(parts["train"][torch.arange(1300)])
    verdict = reach_verdict(found)
    assert verdict["likeness"]["grade"] == "good", verdict["likeness"]
    assert verdict["novelty"]["grade"] == "poor"
    assert found["dcr_raw"]["synthetic"] == 0
    assert found["authentic_raw"]["synthetic"] == 0
    assert real["dcr_raw"]["synthetic"] == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_copies_through_the_autoencoder_are_flagged(
    measured: Case, parts: dict[str, LabelledImages], own_autoencoder: Autoencoder
) -> None:
    some = parts["train"][torch.arange(1300)]
    latents, _ = encode_images(own_autoencoder, some.images, CPU)
    found = measured(changed(some, lambda x: decode_latents(own_autoencoder, latents, CPU)))
    assert reach_verdict(found)["novelty"]["grade"] == "poor"
    assert found["dcr_image"]["synthetic"] == 0
    assert found["fd_classifier"]["synthetic"] == pytest.approx(
        found["fd_classifier"]["copy_floor"], rel=0.3
    )


@pytest.mark.slow
def test_a_class_that_is_missing_is_flagged(
    measured: Case, real: dict[str, Any], parts: dict[str, LabelledImages]
) -> None:
    fresh = parts["fresh"]
    found = measured(fresh[(fresh.labels != 3).nonzero()[:, 0]])
    assert found["missing_classes"] == ["3"]
    assert reach_verdict(found)["likeness"]["grade"] == "poor"
    for name in ("coverage", "recall"):
        fell = real["manifold_classifier"]["synthetic"][name]
        assert found["manifold_classifier"]["synthetic"][name] < fell - 0.04
    assert found["fd_classifier"]["synthetic"] > 2 * real["fd_classifier"]["synthetic"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: gaussian_blur(x, [9, 9], [2.0, 2.0]), id="blurred"),
        pytest.param(lambda x: (x.float() * 0.4).to(torch.uint8), id="darker"),
        pytest.param(lambda x: x.clamp(min=90), id="on a brighter ground"),
    ],
)
@pytest.mark.slow
def test_images_of_another_look_are_flagged(
    measured: Case,
    real: dict[str, Any],
    parts: dict[str, LabelledImages],
    change: Callable[[Tensor], Tensor],
) -> None:
    found = measured(changed(parts["fresh"], change))
    assert grades(found, "likeness")["fd_over_floor"] != "good"
    assert found["fd_classifier"]["synthetic"] > 3 * real["fd_classifier"]["synthetic"]
    assert found["classifier_test_classifier"]["synthetic"]["low"] > 0.6


def test_noise_is_no_image(measured: Case, parts: dict[str, LabelledImages]) -> None:
    noise = torch.randint(
        0, 256, parts["fresh"].images.shape, generator=torch.Generator().manual_seed(0)
    )
    found = measured(replace(parts["fresh"], images=noise.to(torch.uint8)))
    assert grades(found, "likeness")["precision_of_floor"] == "poor"
    assert reach_verdict(found)["likeness"]["grade"] == "poor"
    assert reach_verdict(found)["utility"]["grade"] == "poor"


@pytest.mark.slow
def test_permuted_labels_are_flagged(measured: Case, parts: dict[str, LabelledImages]) -> None:
    fresh = parts["fresh"]
    permuted = fresh.labels[torch.randperm(len(fresh), generator=torch.Generator().manual_seed(0))]
    found = measured(replace(fresh, labels=permuted))
    assert reach_verdict(found)["utility"]["grade"] == "poor"
    assert found["label_agreement"]["synthetic"] < 20
    assert reach_verdict(found)["likeness"]["grade"] == "good"  # pictures are as they were


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
    assert found["synthetic"]["mcnemar_p"] < 1e-6
    assert found["good"]["mean"] == pytest.approx(found["real_equal_n"]["mean"], abs=8)


@pytest.mark.slow
def test_a_sampler_that_collapsed_is_flagged(
    measured: Case, real: dict[str, Any], parts: dict[str, LabelledImages]
) -> None:
    fresh = parts["fresh"]
    few = torch.cat([(fresh.labels == c).nonzero()[:1, 0] for c in range(10)])
    found = measured(fresh[few[torch.arange(1300) % 10]])
    assert reach_verdict(found)["likeness"]["grade"] == "poor"
    shares = found["manifold_classifier"]["synthetic"]
    assert shares["coverage"] < 0.2
    assert shares["recall"] < 0.2
    assert found["vendi_classifier"]["synthetic"] < real["vendi_classifier"]["synthetic"]


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

    def test_fewer_images_than_features(
        self, measured: Case, parts: dict[str, LabelledImages]
    ) -> None:
        with pytest.raises(InputError, match="at least 65"):
            measured(parts["fresh"][torch.arange(64)])

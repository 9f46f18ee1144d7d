"""What stands behind a bad verdict, on real digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import (
    Bench,
    classifier_features,
    examine,
    limit,
    reach_verdict,
    reconstruction,
    untrained_extractors,
)

CPU = torch.device("cpu")
POOR = 0.045


def flat(images: Tensor) -> Tensor:
    """Each image as one square of its mean brightness."""
    mean = images.float().mean(dim=(1, 2, 3), keepdim=True)
    return mean.round().to(torch.uint8).expand_as(images).clone()


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(images.float(), 5, 1, 2).round().to(torch.uint8)


@pytest.fixture(scope="module")
def found(bench: Bench) -> Any:
    """What is found of 1,000 digits that were changed, by a judge of others."""
    real, test, fresh = bench.train, bench.test[:1500], bench.test[1500:]

    def of(images: LabelledImages) -> dict[str, Any]:
        return examine(
            images,
            real,
            test,
            {"classifier": classifier_features(bench.judge, CPU)},
            judge=bench.judge,
            expected=torch.arange(10),
            seed=0,
            device=CPU,
        )

    return {
        "flat": of(replace(fresh, images=flat(fresh.images))),
        "fresh": of(fresh),
    }


def test_squares_get_no_verdict_on_copying(found: Any) -> None:
    verdict = reach_verdict(found["flat"])["novelty"]
    assert verdict["grade"] in ("unknown", "poor")
    assert "too unlike" in verdict["findings"][0]["sentence"]
    assert verdict["findings"][0]["name"] == "unlike"
    assert reach_verdict(found["fresh"])["novelty"]["grade"] == "good"


def test_what_encodes_too_little_is_the_limit(digits: LabelledImages, found: Any) -> None:
    test = digits.images[1500:3000]
    extractors = untrained_extractors(digits.images[:1500], CPU)
    flattened = reconstruction(flat(test), test, extractors, seed=0)
    assert flattened["kept"] < 0.2
    said = limit(found["flat"] | {"reconstruction": flattened}, POOR)
    assert said is not None
    assert f"{max(flattened['kept'], 0):.0%} of the variance of pixels" in said


def test_a_perfect_autoencoder_is_no_limit(digits: LabelledImages, found: Any) -> None:
    test = digits.images[1500:3000]
    same = reconstruction(test, test, untrained_extractors(digits.images[:1500], CPU), seed=0)
    assert same["kept"] == 1
    assert limit(found["flat"] | {"reconstruction": same}, POOR) is None
    assert limit(found["flat"] | {"reconstruction": None}, POOR) is None


@pytest.mark.slow
def test_a_blur_is_named_where_it_is_most_of_what_is_missing(digits: LabelledImages) -> None:
    test, fresh = digits.images[1500:3000], digits[3000:4000]
    extractors = untrained_extractors(digits.images[:1500], CPU)
    after = replace(fresh, images=blurred(fresh.images))
    own = examine(
        after,
        digits[:1500],
        digits[1500:3000],
        extractors,
        judge=None,
        expected=torch.arange(10),
        seed=0,
        device=CPU,
    )
    gentle = (0.75 * test.float() + 0.25 * blurred(test).float()).round().to(torch.uint8)
    blur = reconstruction(gentle, test, extractors, seed=0)
    assert blur["kept"] > 0.7
    whole = {
        name: blur["likeness"][name] | {"low": own["likeness"][name]["e"]}
        for name in own["likeness"]
    }
    said = limit(own | {"reconstruction": blur | {"likeness": whole}}, POOR)
    assert said is not None
    assert "already" in said


def test_the_limit_is_told_where_a_verdict_is_worst() -> None:
    own = {"kept": 0.9, "likeness": {"classifier": {"low": 0.06}, "statistics": {"low": 3.5}}}
    found = {
        "likeness": {"classifier": {"e": 0.07}, "statistics": {"e": 4.1}, "random": {"e": None}},
        "reconstruction": own,
    }
    said = limit(found, POOR)
    assert said is not None
    assert "3.50 variances off, of 4.10" in said


def test_all_test_images_alike_keep_nothing_to_speak_of(digits: LabelledImages) -> None:
    same = digits.images[:1].expand(30, -1, -1, -1)
    assert reconstruction(same, same, {}, seed=0)["kept"] is None

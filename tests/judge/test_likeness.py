"""Likeness says how far, or that images differ, or why neither; and the bounds are the record's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.bounds import DAMAGES, derive, graded_good, measure_bounds
from hvrt_diffuser.judge import likeness, pixels, random_features, statistics

CPU = torch.device("cpu")
RECORD = Path(__file__).parents[2] / "docs" / "results" / "judge_bounds.json"
KEYS = {"e", "low", "high", "kid", "p", "n", "features", "reason"}


@pytest.fixture(scope="module")
def extractors(digits: LabelledImages) -> dict[str, Any]:
    real = digits.images[:500]
    return {"random": random_features(real, CPU), "statistics": statistics(real), "pixels": pixels}


def test_fresh_images_are_not_told_apart_and_inverted_ones_are(
    digits: LabelledImages, extractors: dict[str, Any]
) -> None:
    test, fresh = digits.images[1000:2200], digits.images[2200:2800]
    found = likeness(fresh, test, extractors, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(own.keys() == KEYS for own in found.values())
    for name in ("random", "statistics"):
        assert found[name]["e"] < 0.02
        assert found[name]["low"] < found[name]["e"] < found[name]["high"]
        assert found[name]["n"] == 600
        assert found[name]["kid"] is found[name]["p"] is found[name]["reason"] is None
    # 600 of them are too few for 784 features: these get the test.
    assert found["pixels"]["e"] is found["pixels"]["low"] is None
    assert found["pixels"]["p"] > 0.01
    assert "at least 2,352 and 4,704" in found["pixels"]["reason"]

    spoilt = likeness(255 - fresh, test, extractors, seed=0)
    assert min(spoilt[name]["low"] for name in ("random", "statistics")) > 1
    assert spoilt["pixels"]["p"] < 0.01


@pytest.mark.parametrize(("n", "m"), [(9, 50), (50, 9), (1, 1), (0, 20), (20, 0)])
def test_very_few_images_give_a_reason_alone(
    n: int, m: int, digits: LabelledImages, extractors: dict[str, Any]
) -> None:
    for own in likeness(
        digits.images[:n], digits.images[100 : 100 + m], extractors, seed=0
    ).values():
        assert own["reason"].startswith(f"{n} synthetic and {m} test images are too few")
        assert all(own[key] is None for key in ("e", "low", "high", "kid", "p"))


def test_sixty_test_images_are_tested_not_refused(
    digits: LabelledImages, extractors: dict[str, Any]
) -> None:
    few, spoilt = digits.images[1000:1240], 255 - digits.images[1000:1240]
    test = digits.images[2000:2060]
    for images, told in ((few, False), (spoilt, True)):
        found = likeness(images, test, extractors, seed=0)
        for own in (found["random"], found["pixels"]):
            assert own["e"] is None
            assert "240 synthetic and 60 test images are too few" in own["reason"]
            assert (own["p"] < 0.005) == told
        # They are enough for ten features.
        assert (found["statistics"]["low"] > 0.1) == told


def test_identical_sets_and_equal_images_are_finite(
    digits: LabelledImages, extractors: dict[str, Any]
) -> None:
    test = digits.images[:400]
    same = likeness(test, test, extractors, seed=0)
    equal = likeness(test[:1].expand(400, -1, -1, -1), test, extractors, seed=0)
    none = likeness(test, test[:1].expand(400, -1, -1, -1), extractors, seed=0)
    json.dumps([same, equal, none], allow_nan=False)
    assert same["statistics"]["high"] < equal["statistics"]["low"]
    assert all("alike" in own["reason"] for own in none.values())


def test_the_same_seed_gives_the_same(digits: LabelledImages, extractors: dict[str, Any]) -> None:
    found = [
        likeness(digits.images[:300], digits.images[300:900], extractors, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def rows(damage: str, n: int, values: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """A trial with each extractor's excess and the upper end of its interval."""
    return [
        {"dataset": "d", "damage": damage, "n": n, "trial": 0, "extractor": i, "e": e, "high": high}
        for i, (e, high) in enumerate(values)
    ]


def test_bounds_are_of_the_worst_extractor_from_a_thousand_images_on() -> None:
    record = {
        "likeness": [
            *rows("none", 100, [(9, 9), (9, 9)]),
            *rows("none", 1000, [(0.01, 0.02), (0.0, 0.03)]),
            *rows("half_of_every_class_missing", 1000, [(0.01, 0.02), (0.1, 0.2)]),
            *rows("blur", 1000, [(0.01, 0.02), (5, 6)]),
        ]
    }
    assert derive(record) == {"likeness": (0.03, 0.1)}
    assert [row["good"] for row in graded_good(record, 0.03)] == [0, 1, 0, 0]


@pytest.mark.slow
def test_the_measurement_tells_damage_from_fresh_images(digits: LabelledImages) -> None:
    found = list(
        measure_bounds(
            "digits",
            digits[torch.arange(4000)],
            digits[torch.arange(4000, 5000)],
            made_of=2000,
            held=2000,
            trials={500: 1},
            judge=JudgeOptions(width=4, steps=60, batch_size=64, evaluate_every=30),
        )
    )
    assert len(found) == len(DAMAGES) * 4
    highest = {
        damage: max(row["e"] for row in found if row["damage"] == damage) for damage in DAMAGES
    }
    assert highest.pop("none") < min(highest.values())


def test_the_record_gives_its_own_bounds() -> None:
    record = json.loads(RECORD.read_text())
    assert set(record["datasets"]) == {row["dataset"] for row in record["likeness"]}
    found = derive(record)
    assert {name: list(bounds) for name, bounds in found.items()} == record["bounds"]
    good, fair = found["likeness"]
    assert 0 < good < fair
    assert record["graded_good"] == graded_good(record, good)


def test_of_many_images_a_sample_is_compared_and_its_size_told(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["hvrt_diffuser.judge.likeness"], "MOST", 400)
    images = digits[torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))].images
    few = {"few": lambda x: pixels(x[..., 12:15, 12:15])}
    found = likeness(images[:1000], images[1000:2000], few, seed=0)["few"]
    assert found["n"] == 200  # half of the test images are what the other half is compared with
    assert abs(found["e"]) < 0.5

"""A grade needs its whole interval, and no figure tells more than its images allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.experiments.bounds import derive
from hvrt_diffuser.judge import BOUNDS, reach_verdict

QUESTIONS = ("likeness", "utility", "novelty", "membership")


def grade(found: dict[str, Any], question: str, tstr: dict[str, Any] | None = None) -> str:
    verdict: str = reach_verdict(found, tstr)[question]["grade"]
    return verdict


def excess(e: float, low: float, high: float) -> dict[str, Any]:
    own = {"e": e, "low": low, "high": high, "kid": None, "p": None}
    return {"random": {**own, "n": 1000, "features": 64, "reason": None}}


def test_good_in_every_way(examined: Any, trained_rows: Any) -> None:
    verdict = reach_verdict(examined(), trained_rows())
    assert {name: own["grade"] for name, own in verdict.items()} == dict.fromkeys(QUESTIONS, "good")
    assert all(own["sentence"] and own["findings"] for own in verdict.values())


def test_an_interval_within_a_grade_has_it_and_one_across_has_none(examined: Any) -> None:
    good, fair = BOUNDS["excess"]
    middle = (good + fair) / 2
    cases = {
        (0.0, -0.01, good): "good",
        (middle, good + 1e-6, fair): "fair",
        (fair * 2, fair + 1e-6, fair * 3): "poor",
        (good, 0.0, middle): "unknown",
        (middle, 0.0, fair * 2): "unknown",
    }
    for interval, expected in cases.items():
        assert grade(examined(likeness=excess(*interval)), "likeness") == expected, interval


def test_too_few_to_tell_is_said_with_what_is_left_open(examined: Any) -> None:
    good, fair = BOUNDS["excess"]
    verdict = reach_verdict(examined(likeness=excess(good, 0.0, fair)))["likeness"]
    assert verdict["sentence"] == "Too few images to tell: between good and fair."


def test_what_is_surely_poor_is_poor_whatever_else_is_unknown(examined: Any) -> None:
    own = excess(1.0, 0.9, 1.1)
    own["statistics"] = {**own["random"], "e": None, "low": None, "high": None, "reason": "few."}
    assert grade(examined(likeness=own), "likeness") == "poor"


def test_the_worst_network_counts(examined: Any) -> None:
    assert grade(examined(), "likeness") == "good"
    assert grade(examined(likeness=excess(1.0, 0.9, 1.1)), "likeness") == "poor"


def test_a_test_that_tells_few_images_apart_rules_good_out_and_nothing_else(examined: Any) -> None:
    own = {"e": None, "low": None, "high": None, "n": 50, "features": 64, "reason": "few."}
    names = ("classifier", "random", "statistics")
    told = examined(likeness={name: {**own, "kid": 1.0, "p": 0.001} for name in names})
    verdict = reach_verdict(told)["likeness"]
    assert (verdict["grade"], verdict["sentence"]) == (
        "unknown",
        "Too few images to tell: between fair and poor.",
    )
    alike = examined(likeness={name: {**own, "kid": 0.0, "p": 0.6} for name in names})
    assert grade(alike, "likeness") == "unknown"


def test_a_class_that_is_missing_is_poor(examined: Any) -> None:
    found = examined(missing_classes=["owl"])
    assert grade(found, "likeness") == "poor"
    sentences = [f["sentence"] for f in reach_verdict(found)["likeness"]["findings"]]
    assert "No image of class owl is there." in sentences


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tail": 0.12, "tail_low": 0.105, "tail_high": 0.14}, "poor"),
        ({"tail": 0.05, "tail_low": 0.04, "tail_high": 0.06}, "fair"),
        ({"a": 0.03, "a_low": 0.02, "a_high": 0.04}, "poor"),
        ({"a": 0.38, "a_low": 0.36, "a_high": 0.4}, "fair"),
        ({"exact": 2500}, "poor"),
        ({"tail": None, "a": None, "reason": "5 test images are too few."}, "unknown"),
    ],
)
def test_copies(examined: Any, change: dict[str, Any], expected: str) -> None:
    assert grade(examined(copies=change), "novelty") == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tpr_at_1": 0.38, "tpr_low": 0.36, "tpr_high": 0.4}, "poor"),
        ({"tpr_at_1": 0.05, "tpr_low": 0.04, "tpr_high": 0.06}, "fair"),
        ({"auc": 0.75, "auc_low": 0.73, "auc_high": 0.77}, "poor"),
        ({"tpr_at_1": None, "tpr_low": None, "tpr_high": None, "reason": "few."}, "unknown"),
        (dict.fromkeys(("auc", "auc_low", "auc_high")) | {"reason": "few."}, "unknown"),
    ],
)
def test_membership(examined: Any, change: dict[str, Any], expected: str) -> None:
    assert grade(examined(membership=change), "membership") == expected


def test_nothing_is_called_private(examined: Any, trained_rows: Any) -> None:
    for own in reach_verdict(examined(), trained_rows()).values():
        text = own["sentence"] + " ".join(finding["sentence"] for finding in own["findings"])
        assert "privat" not in text.lower()


class TestUtility:
    def test_a_gain_for_sure_is_good(self, examined: Any, trained_rows: Any) -> None:
        assert grade(examined(), "utility", trained_rows(beyond=(0.5, 0.1, 0.9))) == "good"

    @pytest.mark.parametrize(
        ("beyond", "expected"),
        [
            ((0.0, -0.2, 0.2), "fair"),  # no gain is shown, and little can be lost
            ((-0.5, -0.8, -0.2), "poor"),
            ((0.5, -2.0, 3.0), "unknown"),
        ],
    )
    def test_what_is_no_gain(
        self, examined: Any, trained_rows: Any, beyond: Any, expected: str
    ) -> None:
        assert grade(examined(), "utility", trained_rows(beyond=beyond)) == expected

    def test_nearly_perfect_against_perfect_is_not_poor(
        self, examined: Any, trained_rows: Any
    ) -> None:
        table = trained_rows(gain=(-0.1, -0.3, 0.0), real=100.0)
        assert grade(examined(), "utility", table) == "good"

    def test_a_constant_answer_is_poor(self, examined: Any, trained_rows: Any) -> None:
        # Of 90, 5 and 5% it gets 90% right, and a third of each class.
        table = trained_rows(gain=(33.3 - 95.0,) * 3, real=95.0)
        assert grade(examined(), "utility", table) == "poor"

    def test_labels_that_agree_are_no_training(self, examined: Any) -> None:
        assert grade(examined(), "utility") == "unknown"

    def test_labels_that_do_not_are_poor_without_any(self, examined: Any) -> None:
        wrong = {"synthetic": {"percent": 50.0, "n": 1000}}
        assert grade(examined(label_agreement=wrong), "utility") == "poor"

    def test_few_labels_cannot_be_told(self, examined: Any) -> None:
        few = {"synthetic": {"percent": 95.0, "n": 20}, "test": {"percent": 99.0, "n": 100}}
        own = reach_verdict(examined(label_agreement=few))["utility"]["findings"][0]
        assert own["grade"] == "unknown"


def test_the_bounds_of_likeness_are_those_of_the_record() -> None:
    path = Path(__file__).parents[2] / "docs" / "results" / "judge_bounds.json"
    record = json.loads(path.read_text())
    assert BOUNDS["excess"] == pytest.approx(derive(record)["likeness"])

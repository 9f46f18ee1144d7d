"""The end of a run says what was measured, in the order that it is read."""

from __future__ import annotations

from typing import Any

import pytest

from hvrt_diffuser.report.verdict import describe_run

FD = {
    "synthetic": 6.5,
    "vae_beta_0_5": 40.0,
    "real_floor": 2.0,
    "reconstruction_floor": 3.0,
    "copy_floor": 4.5,
}
SUPPORT = {"precision": 0.9, "recall": 0.9, "density": 1.0, "coverage": 0.9}
EVALUATION: dict[str, Any] = {
    "n": {"synthetic": 10_000, "test": 9_000},
    "judge_accuracy": 99.1,
    "missing_classes": [],
    "label_agreement": {"synthetic": 98.5, "test": 99.1},
    "fd_classifier": FD,
    "manifold_classifier": {"synthetic": SUPPORT, "real_floor": SUPPORT},
    "dcr_image": {"synthetic": 0.55},
    "authentic_image": {"synthetic": 0.3, "test": 0.5},
    "dcr_raw": {"synthetic": 0.7},
    "authentic_raw": {"synthetic": 0.4, "test": 0.5},
}


def row(name: str, n: int, mean: float, against: list[Any] | None = None) -> dict[str, Any]:
    p = 0.5 if against else None
    return {
        "row": name,
        "n": n,
        "seeds": 2,
        "mean": mean,
        "std": 0.1,
        "against": against,
        "mcnemar_p": p,
        "per_class": dict.fromkeys("0123456789", mean),
    }


TSTR: dict[str, Any] = {
    "n_test": 9_000,
    "rows": [
        row("real_all", 60_000, 99.0),
        row("real_equal_n", 1000, 98.0),
        row("synthetic", 1000, 97.5, ["real_equal_n", 1000]),
        row("random_decoded", 1000, 12.0, ["real_equal_n", 1000]),
    ],
}


def told(evaluation: dict[str, Any] | None, tstr: dict[str, Any] | None) -> str:
    return describe_run(
        evaluation,
        tstr,
        places={"Synthetic images": "data/images.parquet", "Report": "report.html"},
        seconds=61.7,
        node_seconds={"a": 50.0},
        see_more="kedro viz run",
    )


def test_fidelity_stands_beside_its_floors_and_their_difference() -> None:
    lines = told(EVALUATION, None).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Fidelity"))
    figures = [float(line.split()[0]) for line in lines[start + 1 : start + 7]]
    assert figures == [6.5, 2.0, 3.0, 4.5, 40.0, 2.0]
    assert "9,000 real test images (not FID)" in lines[start]
    assert "β = 0.5, its prior decoded" in lines[start + 5]


def test_three_questions_are_answered() -> None:
    text = told(EVALUATION, TSTR)
    for question in (
        "Do they look like the real ones? Largely",
        "Can a classifier be trained on them? Yes",
        "Are they copies? In part",
    ):
        assert question in text


def test_what_a_grade_rests_on_is_said_where_it_is_not_good() -> None:
    text = told(EVALUATION, TSTR)
    assert "3.2 times the 2.00 of real training images" in text
    assert "0.55 times that of fresh real images" in text
    assert "98.5% of them what their label says" not in text  # which is good


def test_utility_has_a_line_for_what_people_train_on() -> None:
    text = told(None, TSTR)
    assert "all 60,000 real training images" in text
    assert "97.50% ± 0.10    1,000 synthetic images" in text
    assert "random" not in text


def test_what_was_not_measured_is_not_mentioned() -> None:
    text = told(None, None)
    assert "Fidelity" not in text
    assert "Utility" not in text
    assert "Verdict" not in text
    assert "data/images.parquet" in text
    assert "report.html" in text
    assert "kedro viz run" in text


@pytest.mark.parametrize("with_tstr", [True, False])
def test_a_class_that_is_missing_is_said(with_tstr: bool) -> None:
    text = told({**EVALUATION, "missing_classes": ["owl"]}, TSTR if with_tstr else None)
    assert "Do they look like the real ones? No" in text
    assert "No image of class owl was generated." in text


@pytest.mark.parametrize(
    ("agreement", "said"),
    [(98.5, "agree with what"), (93.0, "some labels disagree"), (50.0, "many labels disagree")],
)
def test_without_tstr_nothing_is_said_of_errors_after_training(agreement: float, said: str) -> None:
    text = told({**EVALUATION, "label_agreement": {"synthetic": agreement, "test": 99.1}}, None)
    answer = next(line for line in text.splitlines() if "Can a classifier be trained" in line)
    assert said in answer
    assert "errors" not in answer

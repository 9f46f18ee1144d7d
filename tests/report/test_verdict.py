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


@pytest.fixture
def evaluation(examined: Any) -> dict[str, Any]:
    return {**examined(n={"test": 9_000}), "fd_classifier": FD}


def told(evaluation: dict[str, Any] | None, tstr: dict[str, Any] | None) -> str:
    return describe_run(
        evaluation,
        tstr,
        places={"Synthetic images": "data/images.parquet", "Report": "report.html"},
        seconds=61.7,
        node_seconds={"a": 50.0},
        see_more="kedro viz run",
    )


def test_fidelity_stands_beside_its_floors_and_their_difference(evaluation: Any) -> None:
    lines = told(evaluation, None).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Fidelity"))
    figures = [float(line.split()[0]) for line in lines[start + 1 : start + 7]]
    assert figures == [6.5, 2.0, 3.0, 4.5, 40.0, 2.0]
    assert "9,000 real test images (not FID)" in lines[start]
    assert "β = 0.5, its prior decoded" in lines[start + 5]


def test_too_few_images_for_a_distance_leave_it_out(evaluation: Any) -> None:
    text = told({**evaluation, "fd_classifier": dict.fromkeys(FD)}, None)
    assert "Fidelity" not in text
    assert "Do they look like the real ones?" in text


def test_four_questions_are_answered(evaluation: Any, trained_rows: Any) -> None:
    text = told(evaluation, trained_rows())
    for question in (
        "Do they look like the real ones? Yes",
        "Do they help beyond augmenting the real ones? Yes",
        "Are they copies? No",
        "Could somebody find out which images they were made from? Hardly",
    ):
        assert question in text


def test_what_a_grade_rests_on_is_said_where_it_is_not_good(
    evaluation: Any, examined: Any, trained_rows: Any
) -> None:
    copies = examined(copies={"a": 0.38, "a_low": 0.36, "a_high": 0.4})["copies"]
    text = told({**evaluation, "copies": copies}, trained_rows())
    assert "In 38% of pairs" in text
    assert "nearer to a training image than 99%" not in text  # which is good


def test_utility_has_a_line_for_what_people_train_on(trained_rows: Any) -> None:
    text = told(None, trained_rows())
    assert "98.00% [97.80, 98.20]    1,000 real training images" in text
    assert "98.00% [97.80, 98.20]    1,000 synthetic images" in text
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
def test_a_class_that_is_missing_is_said(
    evaluation: Any, trained_rows: Any, with_tstr: bool
) -> None:
    text = told({**evaluation, "missing_classes": ["owl"]}, trained_rows() if with_tstr else None)
    assert "Do they look like the real ones? No" in text
    assert "No image of class owl is there." in text

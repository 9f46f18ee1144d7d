"""The verdict says what was measured, in the order that it is read."""

from __future__ import annotations

from typing import Any

import pytest

from hvrt_diffuser.verdict import summarise, verdict

FD = {
    "hvrt": 6.5,
    "vae_beta_0_5": 40.0,
    "train_floor": 2.0,
    "reconstruction_floor": 3.0,
    "copy_floor": 4.5,
}
EVALUATION: dict[str, Any] = {
    "n": {"hvrt": 10_000, "test": 9_000},
    "leaves_unconditional": 1500,
    "leaves_per_class": 9600,
    "judge_accuracy": 99.1,
    "latent_ks": {"hvrt": 0.02, "train_floor": 0.01},
    "fd_classifier": FD,
    "inception_score_classifier": {"hvrt": 9.5},
}


def row(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.1, "accuracies": [mean, mean]}


TSTR: dict[str, Any] = {
    "n": 1000,
    "n_all": 60_000,
    "n_test": 9_000,
    "seeds": 2,
    "steps": 10,
    "real_all": row(99.0),
    "real_equal_n": row(98.0),
    "hvrt_conditional": row(97.5),
    "vae_beta_0_05": row(97.0),
    "random_decoded": row(12.0),
}


def told(evaluation: dict[str, Any] | None, tstr: dict[str, Any] | None) -> str:
    summary = summarise(
        evaluation, tstr, command="kedro run", seconds=61.7, node_seconds={"a": 50.0}, machine={}
    )
    return verdict(summary, images="data/images.parquet", grid="grid.png", see_more="kedro viz run")


def test_fidelity_stands_beside_its_floors_and_their_difference() -> None:
    lines = told(EVALUATION, None).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Fidelity"))
    figures = [float(line.split()[0]) for line in lines[start + 1 : start + 7]]
    assert figures == [6.5, 2.0, 3.0, 4.5, 40.0, 2.0]
    assert "9,000 real test images (not FID)" in lines[start]
    assert "beta 0.5, its prior decoded" in lines[start + 5]


@pytest.mark.parametrize(
    ("synthetic", "said"), [(97.5, "0.50 points below"), (98.25, "0.25 points above")]
)
def test_utility_says_on_which_side_of_the_real_row_it_is(synthetic: float, said: str) -> None:
    text = told(None, {**TSTR, "hvrt_conditional": row(synthetic)})
    assert said in text
    assert "all 60,000 real training images" in text
    assert "posteriors of a VAE with beta 0.05" in text


def test_what_was_not_measured_is_not_mentioned() -> None:
    text = told(None, None)
    assert "Fidelity" not in text
    assert "Utility" not in text
    assert "data/images.parquet" in text
    assert "kedro viz run" in text


def test_summary_keeps_the_figures_and_names_the_extractor() -> None:
    summary = summarise(
        EVALUATION, TSTR, command="kedro run", seconds=61.7, node_seconds={"a": 50.0}, machine={}
    )
    assert summary["fd"] == {"extractor": "classifier", "n": 10_000, "n_reference": 9_000, **FD}
    assert summary["tstr"] == TSTR
    assert summary["latent_ks"] == 0.02
    assert summary["seconds"] == 61.7

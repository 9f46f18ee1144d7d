"""``balance`` and ``shots``, asked for by name, in a finished run."""

from __future__ import annotations

import json
from typing import Any

import pytest


def by_name(project: Any, kedro_here: Any, name: str, *more: str) -> dict[str, Any]:
    kedro_here(project, "run", "--env", "test", "--pipelines", name, *more)
    assert project.file("08_reporting", f"{name}_plot.png").exists()
    assert not project.file("08_reporting", f"{name}.checkpoint.safetensors").exists()
    assert not project.file("06_models", name).exists()
    found: dict[str, Any] = json.loads(project.file("08_reporting", f"{name}.json").read_text())
    return found


@pytest.mark.slow
def test_an_imbalance_on_purpose(finished_copy: Any, kedro_here: Any) -> None:
    found = by_name(finished_copy, kedro_here, "balance")
    assert found["counts"]["0"] == found["counts"]["1"] == 20
    assert found["counts"]["2"] == 400
    assert len(found["rows"]) + len(found["left_out"]) == 7
    assert found["made_by"]["parameters"]["balance.counts.0"] == 20


def test_even_classes_are_told(finished_copy: Any, kedro_here: Any, sentence: Any) -> None:
    folder = finished_copy.path / "conf" / "even"
    folder.mkdir()
    for name in ("globals", "parameters"):
        text = (finished_copy.path / "conf" / "test" / f"{name}.yml").read_text()
        (folder / f"{name}.yml").write_text(text.replace("counts: {", "counts: null # {"))
    done = kedro_here(finished_copy, "run", "--env", "even", "--pipelines", "balance", check=False)
    assert "expected classes of unequal size" in sentence(done)


@pytest.mark.slow
def test_few_shots(finished_copy: Any, kedro_here: Any) -> None:
    found = by_name(finished_copy, kedro_here, "shots")
    assert found["shots"] == [10]
    assert [(row["row"], row["ratio"]) for row in found["rows"]] == [
        ("real_augmented", 0),
        *((name, ratio) for name in ("hvrt", "gaussian_per_class") for ratio in (1, 2)),
    ]
    assert set(found["samplers"]) == {"hvrt", "gaussian_per_class"}
    assert found["skipped"] == []


def test_an_unknown_sampler_is_told_at_once(
    finished_copy: Any, kedro_here: Any, sentence: Any
) -> None:
    path = finished_copy.path / "conf" / "test" / "parameters.yml"
    path.write_text(path.read_text().replace("[hvrt, gaussian_per_class]", "[hvart]"))
    done = kedro_here(finished_copy, "run", "--env", "test", "--pipelines", "shots", check=False)
    assert "no sampler called 'hvart'" in sentence(done)

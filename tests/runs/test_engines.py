"""A run by workers of dask leaves what a run in one process leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("distributed")

DASK = "engine.kind=dask,engine.workers=2"


@pytest.mark.slow
def test_tstr_by_workers_is_that_of_one_process(finished_copy: Any, kedro: Any) -> None:
    table = finished_copy.file("08_reporting", "tstr.json")
    predictions = finished_copy.file("07_model_output", "tstr_predictions.safetensors")
    stages = finished_copy.file("08_reporting", "stages.json")
    before = [path.read_bytes() for path in (table, predictions)]
    for path in (table, predictions, stages):
        path.unlink()
    kedro(finished_copy, "run", "--env", "test", "--pipelines", "tstr", "--params", DASK)
    assert [path.read_bytes() for path in (table, predictions)] == before
    assert set(json.loads(stages.read_text())) == {"train_synthetic_test_real", "tabulate_tstr"}
    assert not finished_copy.file("06_models", "tasks").exists()


def test_a_scheduler_that_is_not_there_is_refused_before_anything_runs(
    project: Any, kedro_here: Any, sentence: Any
) -> None:
    given = "engine.kind=dask,engine.address=tcp://127.0.0.1:1"
    done = kedro_here(project, "run", "--env", "test", "--params", given, check=False)
    assert "no scheduler of dask answers at engine.address tcp://127.0.0.1:1" in sentence(done)
    assert not project.file("03_primary", "images_train.safetensors").exists()

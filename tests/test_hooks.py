"""What is kept of a run's stages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kedro.io import DataCatalog

from hvrt_diffuser.catalog import MetricsDataset
from hvrt_diffuser.hooks import RunSummary


def test_runs_at_the_same_time_keep_each_other_s_stages(tmp_path: Path) -> None:
    path = (tmp_path / "stages.json").as_posix()

    def begin() -> Any:
        catalog = DataCatalog({"stages": MetricsDataset(filepath=path, optional=True)})
        summary = RunSummary()
        summary.before_pipeline_run(catalog)
        return summary

    def end(summary: Any, name: str) -> None:
        node: Any = SimpleNamespace(name=name)
        summary.before_node_run(node)
        summary.after_dataset_saved("something", node)

    hours, minutes = begin(), begin()
    end(hours, "first")
    end(minutes, "second")
    end(hours, "third")
    kept = MetricsDataset(filepath=path).load()
    assert set(kept) == {"first", "second", "third"}

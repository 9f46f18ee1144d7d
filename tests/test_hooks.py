"""What is kept of a run's stages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog

from hvrt_diffuser.catalog import MetricsDataset
from hvrt_diffuser.common.engine import Engine, current
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.hooks import CheckedParameters, RunSummary, TaskEngine
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[1] / "conf"


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


@pytest.mark.parametrize(
    "name", ["${oc.env:HOME}", "${x}", "${", "..", "-x", "CON", "[red]", "a/b", "\udcff", "x" * 300]
)
def test_a_run_name_that_is_none_is_told_in_a_sentence(name: str) -> None:
    loader = OmegaConfigLoader(
        str(CONF), env="test", runtime_params={"run_name": name}, **CONFIG_LOADER_ARGS
    )
    context: Any = SimpleNamespace(config_loader=loader)
    with pytest.raises(InputError, match=r"expected .*correct it in conf/ or in --params") as told:
        CheckedParameters().after_context_created(context)
    assert "\n" not in str(told.value)


def test_what_a_run_has_left_that_control_c_ended_is_kept_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Catalog:
        def __init__(self, workers: int) -> None:
            self.parameters = {"engine": {"workers": workers}, "device": "cpu"}

        def load(self, name: str) -> Any:
            return getattr(self, name)

        def __getitem__(self, name: str) -> Any:
            return SimpleNamespace(_filepath=tmp_path / name)

    cleared: list[bool] = []
    monkeypatch.setattr(Engine, "close", lambda self, clear: cleared.append(clear))
    before, hook = current(), TaskEngine()
    hook.before_pipeline_run(Catalog(2))
    hook.before_pipeline_run(Catalog(3))  # Kedro told no hook of Ctrl-C
    assert current().threads() == 3
    assert cleared == [False]
    hook.after_pipeline_run()
    assert cleared == [False, True]
    assert current() is before

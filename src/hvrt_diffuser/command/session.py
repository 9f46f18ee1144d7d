"""A run of all pipelines outside of a project, with the configuration of the package."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from hvrt_diffuser.command.workspace import Workspace

__all__ = ["run_pipelines"]


def run_pipelines(workspace: Workspace, parameters: Mapping[str, Any], conf: Path) -> None:
    """Run the nodes of all pipelines that are not up to date.

    Args:
        workspace: where the files go.
        parameters: that differ from the defaults, nested.
        conf: the folder of the configuration, which holds ``base``.
    """
    configure_project("hvrt_diffuser")
    # An error is told once, in a sentence, and Kedro's advice is for its own command.
    for name in ("kedro", "kedro_viz"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    session = KedroSession.create(
        project_path=workspace.project,
        conf_source=str(conf),
        env="base",
        runtime_params=dict(parameters),
    )
    session._hook_manager.register(_FirstPictures(workspace))
    session.run(runner=_InOrder(), only_missing_outputs=True)


class _InOrder(SequentialRunner):
    """Leaves nodes out and keeps the order of the others: the first pictures come first."""

    @property
    def _logger(self) -> logging.Logger:  # Kedro's own, or each node would be announced twice
        return logging.getLogger(SequentialRunner.__module__)

    def _filter_pipeline_for_missing_outputs(self, pipeline: Pipeline, catalog: Any) -> Pipeline:
        found = super()._filter_pipeline_for_missing_outputs(pipeline, catalog)
        found.nodes = [node for node in pipeline.nodes if node in set(found.nodes)]
        return found


class _FirstPictures:
    """They are shown as soon as they are there: what judges takes longer."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        if dataset_name == "sample_grid":
            self._workspace.show_first()
            grid = os.path.relpath(self._workspace.folder / "grid.png")
            print(f"The first pictures: {grid}")  # noqa: T201

"""What has to run again, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node, pipeline

from hvrt_diffuser.catalog import MetricsDataset
from hvrt_diffuser.pipelines.lineage import Lineage
from hvrt_diffuser.pipelines.resuming import ResumingRunner

PARAMETERS = {"generation": {"sampler": "hvrt", "n": 1}, "tstr": {"n": 1}, "export": {"form": "a"}}


def make_pipeline(ran: list[str]) -> Pipeline:
    """Judging first by name, images and their grid, a picture in memory, and an export."""

    def made(name: str) -> Any:
        def run(*inputs: Any) -> dict[str, int]:
            ran.append(name)
            return {"from": len(inputs)}

        return run

    return pipeline(
        [
            node(made("judge"), "params:tstr", "classifier", name="a_judge"),
            node(made("draw"), "params:generation", "synthetic_images", name="draw"),
            node(made("grid"), "synthetic_images", "sample_grid", name="grid"),
            node(made("evaluate"), ["synthetic_images", "classifier"], "metrics", name="evaluate"),
            node(made("picture"), "metrics", "picture", name="picture"),
            node(made("page"), "picture", "page", name="page"),
            node(made("export"), ["synthetic_images", "params:export"], "silent", name="export"),
        ]
    )


class Silent(MetricsDataset):
    """Metrics that do not say what they were made with."""

    read_made_by = None  # type: ignore[assignment]


class Project:
    """The pipeline above with its files, and what ran."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran = folder, list[str]()
        self.pipeline = make_pipeline(self.ran)

    def run(self, **changes: Any) -> list[str]:
        parameters = {
            name: {**block, **changes.get(name, {})} for name, block in PARAMETERS.items()
        }
        catalog = DataCatalog(
            {
                name: (Silent if name == "silent" else MetricsDataset)(
                    filepath=(self.folder / f"{name}.json").as_posix()
                )
                for name in self.pipeline.all_outputs() - {"picture"}
            }
            | {"picture": MemoryDataset(), "parameters": MemoryDataset(parameters)}
            | {f"params:{name}": MemoryDataset(block) for name, block in parameters.items()}
        )
        lineage = Lineage(parameters, catalog)
        for each in self.pipeline.nodes:  # as the hooks do
            lineage.keep(each.outputs, lineage.of_node(each.inputs))
        self.ran.clear()
        ResumingRunner().run(self.pipeline, catalog)
        return list(self.ran)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ALWAYS = ["export"]  # it reads parameters, and what it writes cannot say which


def test_images_come_first(project: Project) -> None:
    ran = project.run()
    assert ran[:2] == ["draw", "grid"]
    assert sorted(ran) == ["draw", "evaluate", "export", "grid", "judge", "page", "picture"]


def test_what_is_finished_stays(project: Project) -> None:
    project.run()
    assert project.run() == ALWAYS


def test_a_missing_file_is_made_with_what_comes_after_it(project: Project) -> None:
    project.run()
    (project.folder / "metrics.json").unlink()
    assert sorted(project.run()) == ["evaluate", "export", "page", "picture"]


def test_what_was_in_memory_alone_is_made_for_whoever_takes_it(project: Project) -> None:
    project.run()
    (project.folder / "page.json").write_text('{"cut short')
    assert sorted(project.run()) == ["export", "page", "picture"]


def test_what_a_parameter_changes_is_made_anew(project: Project) -> None:
    project.run()
    assert sorted(project.run(tstr={"n": 2})) == ["evaluate", "export", "judge", "page", "picture"]
    ran = project.run(generation={"n": 2}, tstr={"n": 2})
    assert sorted(ran) == ["draw", "evaluate", "export", "grid", "page", "picture"]
    assert project.run(generation={"n": 2}, tstr={"n": 2}) == ALWAYS

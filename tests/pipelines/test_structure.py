"""What all pipelines keep to."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.pipeline_registry import STAGES, register_pipelines
from hvrt_diffuser.pipelines.parameters import Parameters, check_parameters, complete, leaves
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
PIPELINES = register_pipelines()


def parameters(env: str) -> dict[str, Any]:
    loader = OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)
    return complete(check_parameters(loader["parameters"]))


@pytest.mark.parametrize("name", PIPELINES)
def test_nodes_take_few_inputs(name: str) -> None:
    for node in PIPELINES[name].nodes:
        assert len(node.inputs) <= 7, node.name


def test_every_parameter_that_a_node_reads_is_there() -> None:
    completed = parameters("local")
    for pipeline in PIPELINES.values():
        for name in pipeline.inputs():
            value: Any = completed
            if name.startswith("params:"):
                for part in name.removeprefix("params:").split("."):
                    value = value[part]


def test_no_default_is_written_twice() -> None:
    """A file of parameters says what differs from the classes, and nothing else."""
    defaults = dict(leaves(Parameters(run_name="x").model_dump(mode="json")))
    for path in sorted((CONF / "base").glob("parameters*.yml")):
        for name, value in leaves(yaml.safe_load(path.read_text()) or {}):
            assert defaults.get(name, ...) != value, f"{path.name}: {name} is {value} by default"


def test_kedro_viz_opens_with_the_stages_as_closed_boxes() -> None:
    """And with ``?types=nodes`` in its address, with nothing beside them."""
    pytest.importorskip("kedro_viz")
    from kedro_viz.data_access.repositories import ModularPipelinesRepository

    tree = ModularPipelinesRepository()
    tree.populate_tree(PIPELINES["__default__"])
    shown = {child.id: child.type.value for child in tree.as_dict()["__root__"].children}
    groups = {name for name, kind in shown.items() if kind == "modularPipeline"}
    assert groups == {*STAGES, "standard_vae", "low_beta_vae"}
    assert len(groups) <= 15
    assert "task" not in shown.values()


@pytest.mark.parametrize("name", STAGES)
def test_a_group_renames_nodes_alone(name: str) -> None:
    stage = import_module(f"hvrt_diffuser.pipelines.{name}.pipeline").create_pipeline()
    assert PIPELINES[name].datasets() == stage.datasets()
    assert {node.name for node in PIPELINES[name].nodes} == {
        node.name if node.namespace else f"{name}.{node.name}" for node in stage.nodes
    }

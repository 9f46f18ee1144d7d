"""What all pipelines keep to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.pipeline_registry import register_pipelines
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

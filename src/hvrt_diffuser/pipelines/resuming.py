"""A runner that goes on where an earlier run ended, and makes the first pictures first."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from kedro.io import MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from pydantic_core import to_jsonable_python

from hvrt_diffuser.pipelines.lineage import Lineage

__all__ = ["ResumingRunner", "unfinished"]

FIRST = ("synthetic_images", "sample_grid")


class ResumingRunner(SequentialRunner):
    """Runs the nodes that are not finished, those that images and their first grid need first."""

    @property
    def _logger(self) -> logging.Logger:  # Kedro's own, or each node would be announced twice
        return logging.getLogger(SequentialRunner.__module__)

    def run(self, pipeline: Pipeline, catalog: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run the pipeline in two parts, each without what is finished."""
        lineage = Lineage(to_jsonable_python(catalog.load("parameters")), catalog)
        todo = unfinished(pipeline, catalog, lineage)
        early = [name for name in FIRST if name in pipeline.all_outputs()]
        needed = pipeline.to_outputs(*early) if early else Pipeline([])
        first = todo & {node.name for node in needed.nodes}
        outputs: dict[str, Any] = {}
        for names in (first, todo - first):
            if names:
                part = pipeline.only_nodes(*names)
                outputs |= super().run(part, catalog, *args, **kwargs)
        return outputs


def unfinished(pipeline: Pipeline, catalog: Any, lineage: Lineage) -> set[str]:
    """Names of the nodes that have to run.

    They are those whose outputs are missing or were made with other parameters, those that come
    after them, and those that made what is kept in memory alone. A node that reads parameters and
    whose outputs cannot say what they were made with is one of them.
    """
    todo: set[str] = set()
    anew: set[str] = set()  # datasets
    for node in pipeline.nodes:
        kept = [name for name in node.outputs if not _in_memory(catalog, name)]
        passed_on = [name for name in node.outputs if name not in kept]
        lineage.keep(passed_on, lineage.of_node(node.inputs))  # no file says it
        if anew.intersection(node.inputs) or not _is_as_wanted(node, kept, catalog, lineage):
            todo.add(node.name)
            anew.update(node.outputs)
    for node in reversed(pipeline.nodes):
        takers = (other for other in pipeline.nodes if other.name in todo)
        taken = {name for other in takers for name in other.inputs}
        if any(name in taken and _in_memory(catalog, name) for name in node.outputs):
            todo.add(node.name)
    return todo


def _is_as_wanted(node: Any, kept: Collection[str], catalog: Any, lineage: Lineage) -> bool:
    """Whether all files of a node are there, and were made with the parameters of this run."""
    if not kept:
        return True  # until something takes what it keeps in memory
    if not all(catalog.exists(name) for name in kept):
        return False
    readers = [getattr(catalog.get(name), "read_made_by", None) for name in kept]
    found = [read() for read in readers if read is not None]
    if not found and any(name.startswith("params:") for name in node.inputs):
        return False
    wanted = lineage.of_node(node.inputs)
    return all(made_by == wanted for made_by in found)


def _in_memory(catalog: Any, name: str) -> bool:
    return isinstance(catalog.get(name, fallback_to_runtime_pattern=True), MemoryDataset)

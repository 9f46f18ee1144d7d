"""What is up to date: made of these inputs, with these parameters, by this code, and still there.

A record is kept of each node as it ends. As make does it, and unlike make by what files hold: a
file that was touched is no other file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

import hvrt_diffuser
from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.pipelines.digests import content_digest, lasts
from hvrt_diffuser.pipelines.lineage import Lineage

__all__ = ["Freshness", "code_version"]

RECORD = "nodes"  # the dataset that holds the records
TIMES = "stages"  # times and memory of nodes, which differ each time


class Freshness:
    """The records of a run's nodes.

    Args:
        catalog: of the run, with the dataset ``nodes``.
        lineage: what parameters lead to a node's outputs.
    """

    def __init__(self, catalog: Any, lineage: Lineage) -> None:
        self._catalog, self._lineage = catalog, lineage

    def stale(self, pipeline: Pipeline) -> list[Node]:
        """The nodes whose outputs are missing, of other inputs, parameters or code, or changed."""
        records = self._catalog.load(RECORD) or {}
        made_anew: set[str] = set()
        found = []
        for node in pipeline.nodes:  # those that it builds on come first
            if made_anew & {*node.inputs} or records.get(node.name) != self._record(node):
                found.append(node)
                made_anew |= {*node.outputs}
        return found

    def keep(self, node: Node) -> None:
        """A node that has ended is up to date; one that is killed left files of another digest."""
        path = Path(str(self._catalog[RECORD]._filepath))
        path.parent.mkdir(parents=True, exist_ok=True)
        with Turn(path.parent):  # another process may be at another node
            records = self._catalog.load(RECORD) or {}
            self._catalog.save(RECORD, {**records, node.name: self._record(node)})

    def _record(self, node: Node) -> dict[str, Any]:
        return {
            "code": code_version(),
            "parameters": self._lineage.of_node(node.inputs).parameters,
            "inputs": self._digests(name for name in node.inputs if name != TIMES),
            "outputs": self._digests(node.outputs),
        }

    def _digests(self, names: Iterable[str]) -> dict[str, str | None]:
        datasets = {name: self._catalog.get(name) for name in names}
        return {name: content_digest(each) for name, each in datasets.items() if lasts(each)}


@cache
def code_version() -> str:
    """SHA-256 of the package's modules."""
    found = hashlib.sha256()
    root = Path(hvrt_diffuser.__file__).parent
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root)}".encode() + path.read_bytes())
    return found.hexdigest()

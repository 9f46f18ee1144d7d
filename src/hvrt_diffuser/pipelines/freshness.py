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

from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

import hvrt_diffuser
from hvrt_diffuser.catalog import CheckpointDataset, ImageSourceDataset, PathDataset
from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.pipelines.lineage import Lineage

__all__ = ["Freshness", "code_version", "digest"]

RECORD = "nodes"  # the dataset that holds the records
TIMES = "stages"  # times and memory of nodes, which differ each time
PASSING = (CheckpointDataset, PathDataset)  # of work that is under way
CHUNK = 2**20  # bytes


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
            "parameters": self._lineage.of_node(node.inputs),
            "inputs": self._digests(name for name in node.inputs if name != TIMES),
            "outputs": self._digests(node.outputs),
        }

    def _digests(self, names: Iterable[str]) -> dict[str, str | None]:
        datasets = {
            name: self._catalog.get(name)
            for name in names
            if not name.startswith("params:") and name != "parameters"
        }
        return {name: digest(dataset) for name, dataset in datasets.items() if _lasts(dataset)}


def _lasts(dataset: Any) -> bool:
    return isinstance(dataset, AbstractDataset) and (
        isinstance(dataset, ImageSourceDataset)
        or (hasattr(dataset, "_filepath") and not isinstance(dataset, PASSING))
    )


def digest(dataset: Any) -> str | None:
    """SHA-256 of the file or folder of a dataset, None where there is none.

    Of a folder of real images it is that of names, sizes and times of change: there may be many.
    """
    if isinstance(dataset, ImageSourceDataset):
        return dataset.fingerprint()
    path = Path(str(dataset._filepath))
    if path.is_file():
        stat = path.stat()
        return _of_file(path, stat.st_mtime_ns, stat.st_size)
    if not path.is_dir():
        return None
    found = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            stat = each.stat()
            found.update(f"{each.relative_to(path)}".encode(errors="surrogateescape"))
            found.update(_of_file(each, stat.st_mtime_ns, stat.st_size).encode())
    return found.hexdigest()


@cache
def _of_file(path: Path, changed: int, size: int) -> str:
    """Looked at once, unless it has changed since."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            found.update(data)
    return found.hexdigest()


@cache
def code_version() -> str:
    """SHA-256 of the package's modules."""
    found = hashlib.sha256()
    root = Path(hvrt_diffuser.__file__).parent
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root)}".encode() + path.read_bytes())
    return found.hexdigest()

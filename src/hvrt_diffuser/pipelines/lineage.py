"""What an artefact was made with: kept in it, and compared with what a run asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.parameters import leaves, look_up, reads

__all__ = ["Lineage"]

# Where something is computed or lies does not change what it is.
NO_MATTER = ("device", "root", "download", "inception_download")


class Lineage:
    """The parameters that led to each dataset of a run, directly or through what it was made of.

    Args:
        parameters: completed ones of this run.
        catalog: datasets of it that have ``made_by`` write it into their files, and read it.
    """

    def __init__(self, parameters: Mapping[str, Any], catalog: Any) -> None:
        self._parameters, self._catalog = parameters, catalog
        self._now = dict(leaves(parameters))
        self._known: dict[str, dict[str, Any]] = {}

    def check(self, inputs: Sequence[str], makers: Mapping[str, str]) -> None:
        """Refuse what lies on disk and was made otherwise than this run asks for.

        Args:
            inputs: datasets that the run reads and does not make.
            makers: by dataset, the pipeline that makes it.

        Raises:
            InputError: there is such a dataset; names the first parameter that differs.
        """
        for name in inputs:
            for parameter, value in self._of(name).items():
                wanted = self._now.get(parameter)
                if wanted != value:
                    raise InputError(
                        f"{name} was made with {parameter}={_plain(value)}, while this run asks "
                        f"for {_plain(wanted)}: run {makers.get(name, 'its pipeline')} again "
                        "before this, or give the value that it was made with"
                    )

    def of_node(self, inputs: Sequence[str]) -> dict[str, Any]:
        """What the outputs of a node with these inputs are made with."""
        found: dict[str, Any] = {}
        for name in inputs:
            found |= self._of(name)
        own = look_up(self._parameters, reads(inputs, self._parameters["generation"]["sampler"]))
        return found | {k: v for k, v in own.items() if k.rpartition(".")[2] not in NO_MATTER}

    def keep(self, outputs: Sequence[str], made_by: dict[str, Any]) -> None:
        """Remember it for datasets that are about to be made, and let them write it."""
        for name in outputs:
            self._known[name] = made_by
            dataset = self._catalog.get(name)
            if hasattr(dataset, "made_by"):
                dataset.made_by = made_by

    def _of(self, name: str) -> dict[str, Any]:
        if name not in self._known:
            read = getattr(self._catalog.get(name), "read_made_by", dict)
            self._known[name] = read() or {}
        return self._known[name]


def _plain(value: Any) -> str:
    return "null" if value is None else str(value)

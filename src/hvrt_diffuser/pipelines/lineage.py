"""What an artefact was made with and of: kept in it, and compared with what a run is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.digests import content_digest
from hvrt_diffuser.pipelines.parameters import leaves, look_up, reads

__all__ = ["Lineage", "Origin"]

# Where something is computed or lies does not change what it is.
# The weights of a pretrained autoencoder are known by their digest.
NO_MATTER = ("device", "root", "download", "inception_download", "pretrained")
DIGITS = 16  # of a SHA-256, which tell the files of a run apart
REAL = "raw_images"


@dataclass(frozen=True)
class Origin:
    """What an artefact was made with and of, directly or through what that was made of.

    Attributes:
        parameters: by name.
        files: the SHA-256 of each dataset's file, 16 hexadecimal digits; of real images, the
            words by which they are known.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class Lineage:
    """The origin of each dataset of a run.

    Args:
        parameters: completed ones of this run.
        catalog: datasets of it that have ``made_by`` write it into their files, and read it.
        makers: by dataset, the pipeline that makes it.
    """

    def __init__(
        self, parameters: Mapping[str, Any], catalog: Any, makers: Mapping[str, str]
    ) -> None:
        self._parameters, self._catalog, self._makers = parameters, catalog, makers
        self._now = dict(leaves(parameters))
        self._known: dict[str, Origin] = {}

    def check(self, inputs: Sequence[str]) -> None:
        """Refuse what lies on disk and was made otherwise than this run asks for.

        Args:
            inputs: datasets that the run reads and does not make.

        Raises:
            InputError: there is such a dataset; names the first parameter that differs.
        """
        for name in inputs:
            for parameter, value in self._of(name).parameters.items():
                wanted = self._now.get(parameter)
                if wanted != value:
                    raise InputError(
                        f"{name} was made with {parameter}={_plain(value)}, while this run asks "
                        f"for {_plain(wanted)}: run {self._maker(name)} again "
                        "before this, or give the value that it was made with"
                    )

    def check_together(self, inputs: Sequence[str]) -> None:
        """Refuse datasets that were not made of one another, or of what lies in its place now.

        Args:
            inputs: datasets that are read together.

        Raises:
            InputError: two of them, or one and a file of the run, are of different origins.
        """
        held: dict[str, tuple[str, str]] = {}  # by dataset: its digest, and who says so
        for name in inputs:
            if digest := self._digest(name):
                held[name] = digest, "lies in the run's folder"
        for name in inputs:
            for ancestor, digest in self._of(name).files.items():
                if ancestor not in held and (now := self._digest(ancestor)):
                    held[ancestor] = now, "lies in the run's folder"
                known, where = held.setdefault(ancestor, (digest, f"{name} was made of"))
                if known != digest:
                    what = "real images" if ancestor == REAL else ancestor
                    raise InputError(
                        f"{name} was made of another {what} ({digest}) than the one that {where} "
                        f"({known}): run {self._maker(name)} again before this, or put back the "
                        "files that belong together"
                    )

    def of_node(self, inputs: Sequence[str]) -> Origin:
        """What the outputs of a node with these inputs are made with and of."""
        parameters: dict[str, Any] = {}
        files: dict[str, str] = {}
        for name in inputs:
            origin = self._of(name)
            parameters |= origin.parameters
            files |= origin.files
            if digest := self._digest(name):
                files[name] = digest
        own = look_up(self._parameters, reads(inputs, self._parameters["generation"]["sampler"]))
        own = {k: v for k, v in own.items() if k.rpartition(".")[2] not in NO_MATTER}
        return Origin(_sorted(parameters | own), _sorted(files))

    def keep(self, outputs: Sequence[str], origin: Origin) -> None:
        """Remember it for datasets that are about to be made, and let them write it."""
        for name in outputs:
            self._known[name] = origin
            dataset = self._catalog.get(name)
            if hasattr(dataset, "made_by"):
                dataset.made_by = asdict(origin)

    def keep_source(self, outputs: Sequence[str], source: str) -> None:
        """Remember also which real images they were read from."""
        for name in outputs:
            origin = self._known[name]
            files = _sorted({**origin.files, REAL: source})
            self.keep([name], Origin(origin.parameters, files))

    def _of(self, name: str) -> Origin:
        if name not in self._known:
            read = getattr(self._catalog.get(name), "read_made_by", dict)
            found: dict[str, Any] = read() or {}
            held = [found.get(part) for part in ("parameters", "files")]
            self._known[name] = Origin(*(x if isinstance(x, dict) else {} for x in held))
        return self._known[name]

    def _digest(self, name: str) -> str | None:
        """Of the file of a dataset; None where it has none, or another one each time."""
        dataset = self._catalog.get(name)
        if name == REAL or getattr(dataset, "timed", False):
            return None
        found = content_digest(dataset)
        # What is cut short or foreign says so itself, to whoever reads it.
        return found[:DIGITS] if found and dataset.exists() else None

    def _maker(self, name: str) -> str:
        return self._makers.get(name, "its pipeline")


def _sorted(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """In one order, whether they came from this run or from files: a file's bytes keep it."""
    return dict(sorted(by_name.items()))


def _plain(value: Any) -> str:
    return "null" if value is None else str(value)

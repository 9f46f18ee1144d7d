"""Images, networks and samplers on disk, and the checkpoint of a training under way."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Protocol

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj

from hvrt_diffuser.common.files import is_whole, made_by, read_made_by
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["CheckpointDataset", "PathDataset", "SavedDataset"]


class Saved(Protocol):
    """An object that writes itself to a safetensors file."""

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""


class SavedDataset(AbstractDataset[Saved, Any]):
    """A safetensors file of an object that has ``save(path)``.

    Args:
        filepath: the file.
        object: what reads it: a class that has ``load(path)``, such as
            ``hvrt_diffuser.autoencoders.Autoencoder``, or a function of a path, such as
            ``hvrt_diffuser.samplers.load_sampler``.
        supersedes: name of a file beside this one that led to it and is removed once it is whole,
            with those of its parts, which have the name after an underscore.
        metadata: for other tools.
    """

    def __init__(
        self,
        filepath: str,
        object: str,
        supersedes: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath)
        self._object = object
        # Kedro makes the filepath absolute, and nothing else.
        self._supersedes = self._filepath.with_name(supersedes) if supersedes else None
        self.metadata = metadata

    made_by: dict[str, Any] | None = None  # the parameters, written into the file

    def read_made_by(self) -> dict[str, Any] | None:
        """The parameters that the file says it was made with."""
        return read_made_by(self._filepath)

    def load(self) -> Any:
        """Read the object."""
        reader = load_obj(self._object)
        return getattr(reader, "load", reader)(self._filepath)

    def save(self, data: Saved) -> None:
        """Write the object, whole or not at all."""
        with made_by(self.made_by):
            data.save(self._filepath)
        if self._supersedes:
            self._supersedes.unlink(missing_ok=True)
            for part in self._supersedes.parent.glob(f"*_{glob.escape(self._supersedes.name)}"):
                part.unlink(missing_ok=True)

    def _exists(self) -> bool:
        # A file cut short by a killed copy or a full disk is not taken for whole.
        return is_whole(self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "object": self._object}


class CheckpointDataset(AbstractDataset[None, Checkpoint]):
    """Hands a training the place where it keeps the state of its last epoch.

    Args:
        filepath: the safetensors file.
        metadata: for other tools.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Checkpoint:
        """The place; reads nothing."""
        return Checkpoint(self._filepath)

    def save(self, data: None) -> None:
        """Not for Kedro to save: the training writes it."""
        raise DatasetError("a training writes its own checkpoints, and nothing else may")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class PathDataset(AbstractDataset[None, Path]):
    """Hands a node the place of files that it shares with other processes.

    Args:
        filepath: of a file or a folder, which need not exist; the folder above is made.
        metadata: for other tools.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The path."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        return self._filepath

    def save(self, data: None) -> None:
        """Nothing saves to it: a node takes it as an input."""
        raise DatasetError(f"{self._filepath} is written by the node that takes it as an input")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

"""The state of a training between two epochs, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors

__all__ = ["Checkpoint"]

KIND = "state of a training"


class Checkpoint:
    """A file that holds the last finished epoch of a training, replaced as a whole.

    Args:
        path: the safetensors file; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def of_part(self, name: str) -> Checkpoint:
        """Of a part that is trained by itself, in a file beside this one: ``<name>_<file>``.

        What removes this one removes those as well, once all is done.
        """
        return Checkpoint(self.path.with_name(f"{name}_{self.path.name}"))

    def write(
        self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any], setting: Mapping[str, Any]
    ) -> None:
        """Replace the checkpoint.

        Args:
            tensors: weights, optimiser and generator states.
            progress: what else is needed to go on, as JSON; names keep their order.
            setting: what a run must share with this one to go on from here, as flat JSON.
        """
        # A header's names are sorted, and a history's are the columns of its table.
        text = json.dumps(progress, allow_nan=False)
        header = {"kind": KIND, "progress": text, "setting": setting}
        write_tensors(self.path, tensors, header)

    def read(self, setting: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and progress to go on from, or None where no training was cut off.

        Raises:
            InputError: the checkpoint is broken, or belongs to a training of another setting.
        """
        if not self.path.exists():
            return None
        tensors, header = read_tensors(self.path, KIND)
        held, setting = header["setting"], json.loads(json.dumps(setting))  # tuples as lists
        names = [*setting, *(held.keys() - setting.keys())]
        differing = [name for name in names if held.get(name) != setting.get(name)]
        if differing:
            name = differing[0]
            raise InputError(
                f"{self.path} is from a training with {name} {held.get(name)}, while this one has "
                f"{name} {setting.get(name)}: set it back to go on with that training, or delete "
                "the file to start afresh"
            )
        return tensors, json.loads(header["progress"])

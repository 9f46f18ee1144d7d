"""The state of a training between two epochs, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, tensors_below, write_tensors

__all__ = ["Checkpoint", "optimiser_tensors", "restore_optimiser"]

KIND = "training checkpoint"


class Checkpoint:
    """A file that holds the last finished epoch of a training, replaced as a whole.

    Args:
        path: the safetensors file; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(
        self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any], setting: Mapping[str, Any]
    ) -> None:
        """Replace the checkpoint.

        Args:
            tensors: weights, optimiser and generator states.
            progress: what else is needed to go on, as JSON.
            setting: what a run must share with this one to go on from here, as flat JSON.
        """
        header = {"kind": KIND, "progress": progress, "setting": setting}
        write_tensors(self.path, tensors, header)

    def read(self, setting: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and progress to go on from, or None where no training was cut off.

        Raises:
            InputError: the checkpoint is broken, or belongs to a training of another setting.
        """
        if not self.path.exists():
            return None
        tensors, header = read_tensors(self.path, KIND)
        held = header["setting"]
        names = [*setting, *(held.keys() - setting.keys())]
        differing = [name for name in names if held.get(name) != setting.get(name)]
        if differing:
            name = differing[0]
            raise InputError(
                f"{self.path} is from a training with {name} {held.get(name)}, while this one has "
                f"{name} {setting.get(name)}: set it back to go on with that training, or delete "
                "the file to start afresh"
            )
        return tensors, header["progress"]


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of each parameter, by name."""
    return {
        f"optimiser.{index}.{name}": value
        for index, slots in optimiser.state_dict()["state"].items()
        for name, value in slots.items()
    }


def restore_optimiser(
    optimiser: Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The opposite of :func:`optimiser_tensors`, with the parameter groups of ``state_dict``."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors_below(tensors, "optimiser.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value.clone()
    optimiser.load_state_dict({"state": slots, "param_groups": groups})

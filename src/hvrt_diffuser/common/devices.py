"""Which device a piece of work runs on."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import StringConstraints

from hvrt_diffuser.common.errors import InputError

__all__ = ["DeviceName", "as_device", "resolve_device"]

DeviceName = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device of this machine.

    ``auto`` is the first CUDA device, else the CPU: MPS has no float64, which HVRT's trees need.

    Raises:
        InputError: the device is not there.
    """
    present = ["cpu"]
    if torch.cuda.is_available():
        present = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + present
    if torch.backends.mps.is_available():
        present.append("mps")
    wanted = {"auto": present[0], "cuda": "cuda:0"}.get(name, name)
    if wanted not in present:
        raise InputError(
            f"device '{name}' was asked for and is not there, expected one of "
            f"{', '.join(present)}: choose one of them, or auto"
        )
    return torch.device(wanted)


def as_device(device: torch.device | str) -> torch.device:
    """An argument of a function as a device of this machine.

    Raises:
        InputError: it is no device, or is not there.
    """
    # A meta tensor has a shape and no numbers, on any machine.
    return torch.device(device) if str(device) == "meta" else resolve_device(str(device))

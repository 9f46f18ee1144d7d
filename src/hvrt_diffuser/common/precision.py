"""Arithmetic of convolutions and matrix products."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from hvrt_diffuser.common.errors import InputError

__all__ = ["Precision", "autocast", "check_precision", "has_bfloat16"]

Precision = Literal["auto", "float32", "bfloat16"]
CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")  # the last one of ARM


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself: elsewhere it is many times slower than float32.

    Args:
        device: to look at; of others than the CPU and CUDA nothing is known, and none is taken
            for one.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(feature, False) for feature in CPU_FEATURES)


def check_precision(precision: str) -> None:
    """Raise InputError for what is no precision."""
    if precision not in get_args(Precision):
        raise InputError(
            f"precision is {precision!r}, expected {', '.join(get_args(Precision))}: give one of "
            "them"
        )


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A block whose convolutions and matrix products are of a precision.

    Args:
        device: of the block's tensors.
        precision: ``auto`` is bfloat16 where the device has it, else float32.

    Raises:
        InputError: another precision.
    """
    check_precision(precision)
    bfloat16 = has_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)

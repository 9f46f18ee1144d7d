"""Arithmetic of convolutions and matrix products."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["Precision", "autocast", "has_bfloat16"]

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


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A block whose convolutions and matrix products are of a precision.

    Args:
        device: of the block's tensors.
        precision: ``auto`` is bfloat16 where the device has it, else float32.
    """
    bfloat16 = has_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)

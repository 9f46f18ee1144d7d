"""Random bits, and what the samplers make of them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "choose_below",
    "epanechnikov",
    "normal",
    "random_words",
    "symmetric_uniform",
]

LOW_32 = 0xFFFFFFFF
LARGEST = 1 - 2**-24  # float32 below 1


def random_words(
    n: int, width: int, generator: torch.Generator, device: torch.device | str
) -> Tensor:
    """int64 (n, width) of 64 random bits each, row after row: chunks are those of the whole.

    A word costs the CPU's generator little more than a float does, and holds two of them.
    """
    words = torch.empty(n, width, dtype=torch.int64, device=device)
    return words.random_(-(2**63), None, generator=generator)


def choose_below(bits: Tensor, bound: Tensor | int) -> Tensor:
    """Integers in [0, bound) from the low 32 bits: each as likely, to one part in 2^32 / bound."""
    return bits.bitwise_and(LOW_32).mul_(bound).bitwise_right_shift_(32)


def symmetric_uniform(words: Tensor, d: int) -> Tensor:
    """float32 (n, d), uniform on (-1, 1), of 32 bits where float32 has them, and never -1 or 1.

    Args:
        words: int64 (n, at least d / 2), contiguous rows.
    """
    return words.view(torch.int32)[:, :d].float().mul_(2**-31 * LARGEST)


def epanechnikov(v: Tensor) -> Tensor:
    """Turn v, uniform on (-1, 1), into draws of the density 3/4 (1 - x^2), in place; variance 1/5.

    The cubic x^3 - 3x + 2v = 0 has one root in [-1, 1], in closed form.
    """
    return v.asin_().div_(3).sin_().mul_(2)


def normal(v: Tensor) -> Tensor:
    """Turn v, uniform on (-1, 1), into draws of N(0, 1), in place."""
    return v.erfinv_().mul_(2**0.5)

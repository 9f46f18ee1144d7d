"""Averages of the weights of a network over its training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["running_average"]

Tensors = list[Tensor] | tuple[Tensor, ...]


def running_average(longest: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential average for ``torch.optim.swa_utils.AveragedModel``, short at first.

    With one decay from the start, a training of some thousand steps keeps much of its random
    initial weights.

    Args:
        longest: the decay per step, once there are enough steps.
    """

    def update(averaged: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # what is counted has no average
            torch._foreach_copy_(averaged, current)
            return
        seen = int(n_averaged)
        decay = min(longest, (1 + seen) / (10 + seen))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    return update

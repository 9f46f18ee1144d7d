"""Rows as networks see them: in units of their deviation, and some at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.stored import Stored

__all__ = ["Scale", "in_chunks"]

# Rows that a network sees at once: on a CPU what fits into its caches, elsewhere what keeps a
# device busy.
AT_ONCE = {"cpu": 1024}
AT_ONCE_ELSEWHERE = 2**17
# Matrix products of a few rows take another path and round differently, so a shorter chunk is
# filled up: a draw's bytes do not depend on how many are made at once.
MIN_ROWS = 32


@dataclass(frozen=True)
class Scale(Stored):
    """Units in which every dimension of the training latents has mean 0 and deviation 1.

    Attributes:
        mean: (d,).
        deviation: (d,), 0 for a dimension that does not vary, which then never does.
    """

    mean: Tensor
    deviation: Tensor

    form: ClassVar[str] = "scale"

    @classmethod
    def of(cls, latents: Tensor) -> Scale:
        """The units of latents (n, d)."""
        return cls(latents.mean(dim=0), latents.std(dim=0, correction=0))

    def enter(self, latents: Tensor) -> Tensor:
        """From latents to these units, float32."""
        unit = torch.where(self.deviation > 0, self.deviation, 1)
        return ((latents - self.mean) / unit).float()

    def leave(self, x: Tensor) -> Tensor:
        """From these units to latents, of their type."""
        return x.to(self.mean.dtype) * self.deviation + self.mean


def in_chunks(arrive: Callable[[Tensor, Tensor], Tensor], start: Tensor, labels: Tensor) -> Tensor:
    """What ``arrive`` makes of each row, whatever the number of rows.

    Args:
        arrive: gives latents (m, d) for rows (m, w) and labels int64 (m,), row by row.
        start: (n, w), at least one row.
        labels: int64 (n,).
    """
    at_once = AT_ONCE.get(start.device.type, AT_ONCE_ELSEWHERE)
    arrived = []
    for chunk, own in zip(start.split(at_once), labels.split(at_once), strict=True):
        missing = max(0, MIN_ROWS - len(chunk))
        filled = torch.cat([chunk, chunk.new_zeros(missing, chunk.shape[1])])
        latents = arrive(filled, torch.cat([own, own.new_zeros(missing)]))
        arrived.append(latents[: len(chunk)])
    return torch.cat(arrived)

"""Rows as networks see them: in units of their deviation, and some at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.stored import Stored
from hvrt_diffuser.samplers.randomness import choose_below

__all__ = ["Scale", "choose_rows", "in_chunks"]

# Rows that a network sees at once: on a CPU what fits into its caches, elsewhere what keeps a
# device busy.
AT_ONCE = {"cpu": 1024}
AT_ONCE_ELSEWHERE = 2**17
# Matrix products of a few rows take another path and round differently, and so do functions of the
# numbers that are left over from a processor's vectors. So a chunk is filled up to a multiple: a
# draw's bytes do not depend on how many are made at once, whatever the width of a layer.
ROWS = 32


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


def choose_rows(bits: Tensor, labels: Tensor | None, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Training latents to start from, each of a class as likely, and their labels; int64 (n,).

    Args:
        bits: int64 (n,), 32 random bits each.
        labels: int64 (n,), the classes to choose from; None chooses from all latents alike.
        counts: int64 (k,), of each class, by which the latents are ordered.
    """
    ends = counts.cumsum(0)
    if labels is None:
        rows = choose_below(bits, ends[-1])
        return rows, torch.bucketize(rows, ends, right=True)
    labels = labels.to(counts.device)
    return (ends - counts)[labels] + choose_below(bits, counts[labels]), labels


def in_chunks(arrive: Callable[[Tensor, Tensor], Tensor], start: Tensor, labels: Tensor) -> Tensor:
    """What ``arrive`` makes of each row, whatever the number of rows.

    Args:
        arrive: gives latents (m, d) for rows (m, w) and labels int64 (m,), row by row.
        start: (n, w), at least one row.
        labels: int64 (n,), or other numbers of a row of which 0 is one.
    """
    at_once = AT_ONCE.get(start.device.type, AT_ONCE_ELSEWHERE)
    arrived = []
    for chunk, own in zip(start.split(at_once), labels.split(at_once), strict=True):
        missing = -len(chunk) % ROWS
        filled = torch.cat([chunk, chunk.new_zeros(missing, chunk.shape[1])])
        latents = arrive(filled, torch.cat([own, own.new_zeros(missing)]))
        arrived.append(latents[: len(chunk)])
    return torch.cat(arrived)

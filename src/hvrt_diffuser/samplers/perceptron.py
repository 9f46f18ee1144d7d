"""The network of samplers that know neither times nor orders: a perceptron that knows the class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Perceptron"]

LAYERS = 3  # hidden ones; Dai & Wipf 2019


class Perceptron(nn.Module):
    """Hidden layers, and a linear one of what they give beside what they were given.

    Args:
        n_in: numbers of a row.
        n_classes: number of classes.
        width: of the hidden layers.
        n_out: numbers that it gives for a row.
    """

    def __init__(self, n_in: int, n_classes: int, width: int, n_out: int) -> None:
        super().__init__()
        self.size = {"n_in": n_in, "n_classes": n_classes, "width": width, "n_out": n_out}
        widths = [n_in + n_classes, *[width] * LAYERS]
        self.hidden = nn.Sequential()
        for narrow, wide in zip(widths[:-1], widths[1:], strict=True):
            self.hidden += nn.Sequential(nn.Linear(narrow, wide), nn.SiLU())
        self.last = nn.Linear(width + widths[0], n_out)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(n, n_out) for rows (n, n_in) and labels int64 (n,)."""
        given = torch.cat([x, F.one_hot(labels, self.size["n_classes"]).to(x.dtype)], dim=1)
        out: Tensor = self.last(torch.cat([given, self.hidden(given)], dim=1))
        return out

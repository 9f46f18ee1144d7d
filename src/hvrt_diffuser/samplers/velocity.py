"""The network of a latent flow: a residual perceptron that knows the time and the class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["VelocityField"]

N_FREQUENCIES = 32
HIGHEST_FREQUENCY = 200.0  # radians per unit of time
CONDITION = 128  # numbers that hold the time and the class, at most; more only cost time


class VelocityField(nn.Module):
    """u(x, t, y): where a latent of class y that stands at x at time t moves to.

    Pre-norm residual blocks; time (as Fourier features) and class are added inside each of them,
    since a scale of their own for each row would double the cost. The last layer starts at zero.

    Args:
        latent_dim: dimensions of a latent, d.
        n_classes: number of classes.
        width: of the hidden layers.
        blocks: number of residual blocks.
    """

    frequencies: Tensor

    def __init__(self, latent_dim: int, n_classes: int, width: int, blocks: int) -> None:
        super().__init__()
        self.size = {
            "latent_dim": latent_dim,
            "n_classes": n_classes,
            "width": width,
            "blocks": blocks,
        }
        exponents = torch.linspace(0, math.log(HIGHEST_FREQUENCY), N_FREQUENCIES)
        self.register_buffer("frequencies", exponents.exp(), persistent=False)
        c = min(width, CONDITION)
        self.time = nn.Sequential(nn.Linear(2 * N_FREQUENCIES, c), nn.SiLU(), nn.Linear(c, c))
        self.label = nn.Embedding(n_classes, c)
        self.enter = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(_Block(width, c) for _ in range(blocks))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, latent_dim))
        nn.init.normal_(self.label.weight, std=0.5)
        for parameter in self.leave[1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Velocities (n, d) of x (n, d) at times t (n,) for labels int64 (n,)."""
        angle = t[:, None] * self.frequencies  # (n, f)
        time = self.time(torch.cat([angle.cos(), angle.sin()], dim=1))  # (n, c)
        condition = F.silu(time + self.label(labels))  # (n, c)
        h = self.enter(x)  # (n, width)
        for block in self.blocks:
            h = block(h, condition)
        velocity: Tensor = self.leave(h)
        return velocity


class _Block(nn.Module):
    """x + W2 silu(W1 norm(x) + V c)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.condition = nn.Linear(condition, width, bias=False)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        hidden = F.silu(self.first(self.norm(x)) + self.condition(condition))
        out: Tensor = x + self.second(hidden)
        return out

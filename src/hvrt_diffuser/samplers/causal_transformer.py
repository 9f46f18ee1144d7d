"""An autoregressive flow by causal transformers: each part of a row given those before it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TransformerFlow"]

WIDEST = 3.0  # logarithm of the largest factor of a transformation, and of its inverse


class TransformerFlow(nn.Module):
    """p(x | y) by a change of variables to N(0, I), each step affine and autoregressive.

    Zhai et al. 2025 (TarFlow, arXiv 2412.06329): tokens in turn become
    (token - mean) / deviation, where a causal transformer gives both from the tokens before it; the
    next transformation goes through them in the reverse order. The class stands before the first
    token. Of a flat row any cut into tokens is as good, and what stands in one token is given each
    other by no transformation, so every second pair of them cuts across the first one's tokens.

    Args:
        latent_dim: numbers of a row, d.
        n_classes: number of classes.
        tokens: parts of a row, at most.
        transforms: number of them.
        layers: of each transformer.
        width: of its tokens.
        heads: of its attention; divide the width.
    """

    def __init__(
        self,
        latent_dim: int,
        n_classes: int,
        tokens: int,
        transforms: int,
        layers: int,
        width: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.size = {
            "latent_dim": latent_dim,
            "n_classes": n_classes,
            "tokens": tokens,
            "transforms": transforms,
            "layers": layers,
            "width": width,
            "heads": heads,
        }
        length = math.ceil(latent_dim / tokens)  # of a token
        count = math.ceil(latent_dim / length)
        self.missing = count * length - latent_dim  # places of the last token beyond the row
        places = torch.arange(count * length)
        self.transforms = nn.ModuleList()
        for i in range(transforms):
            order = places.view(count, length)
            if i // 2 % 2:
                order = places.view(length, count).T
            order = order.flip(0) if i % 2 else order
            self.transforms.append(_Transform(order, latent_dim, n_classes, layers, width, heads))

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What rows become (n, d), and the logarithms of the densities' factors (n,)."""
        z = F.pad(x, (0, self.missing))
        logarithm = x.new_zeros(len(x))
        for transform in self.transforms:
            z, own = transform(z, labels)
            logarithm = logarithm + own
        return z[:, : x.shape[1]], logarithm

    def log_density(self, x: Tensor, labels: Tensor) -> Tensor:
        """The logarithm of p(x | y) (n,), in nats, of rows (n, d) and labels int64 (n,)."""
        z, logarithm = self(x, labels)
        normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)
        return normal + logarithm

    def inverse(self, z: Tensor, labels: Tensor) -> Tensor:
        """The rows (n, d) that become z (n, d): token after token."""
        x = F.pad(z, (0, self.missing))
        backwards: list[Any] = list(self.transforms)[::-1]
        for transform in backwards:
            x = transform.inverse(x, labels)
        return x[:, : z.shape[1]]


class _Transform(nn.Module):
    """Tokens less their means, over their deviations, given those before each."""

    order: Tensor
    back: Tensor
    held: Tensor

    def __init__(
        self, order: Tensor, latent_dim: int, n_classes: int, layers: int, width: int, heads: int
    ) -> None:
        super().__init__()
        count, length = order.shape
        self.register_buffer("order", order.flatten(), persistent=False)
        self.register_buffer("back", order.flatten().argsort(), persistent=False)
        # What is beyond the row stays 0: neither is it moved, nor does it count.
        self.register_buffer("held", (order < latent_dim).float(), persistent=False)
        self.label = nn.Embedding(n_classes, width)
        self.enter = nn.Linear(length, width)
        self.place = nn.Parameter(0.02 * torch.randn(count, width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * length))
        for parameter in self.leave[1].parameters():
            nn.init.zeros_(parameter)

    def _moments(self, before: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of deviations (n, i + 1, l) after i tokens (n, i, l)."""
        h = torch.cat([self.label(labels)[:, None], self.enter(before)], dim=1)
        h = h + self.place[: h.shape[1]]
        for layer in self.layers:
            h = layer(h)
        mean, log_deviation = self.leave(h).float().chunk(2, dim=2)
        held = self.held[: h.shape[1]]
        return mean * held, WIDEST * torch.tanh(log_deviation / WIDEST) * held

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (n, w), and the logarithms of their densities' factors (n,)."""
        tokens = x[:, self.order].unflatten(1, self.held.shape)
        mean, log_deviation = self._moments(tokens[:, :-1], labels)
        z = (tokens - mean) * (-log_deviation).exp()
        return z.flatten(1)[:, self.back], -log_deviation.sum(dim=(1, 2))

    def inverse(self, z: Tensor, labels: Tensor) -> Tensor:
        """The rows (n, w) that become z (n, w)."""
        tokens = z[:, self.order].unflatten(1, self.held.shape)
        x = tokens[:, :0]
        for i in range(tokens.shape[1]):
            mean, log_deviation = (each[:, -1] for each in self._moments(x, labels))
            token = tokens[:, i] * log_deviation.exp() + mean
            x = torch.cat([x, token[:, None]], dim=1)
        return x.flatten(1)[:, self.back]


class _Layer(nn.Module):
    """Causal attention, and a perceptron for each token; both pre-norm and residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, h: Tensor) -> Tensor:
        """(n, t, w) for tokens (n, t, w)."""
        parts = self.attend(self.first(h)).unflatten(2, (3, self.heads, -1))  # (n, t, 3, a, w / a)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)  # (n, a, t, w / a)
        h = h + self.join(seen.transpose(1, 2).flatten(2))
        out: Tensor = h + self.think(self.second(h))
        return out

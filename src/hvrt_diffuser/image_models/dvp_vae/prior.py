"""The prior of the pseudoinput: a variational diffusion model.

Kingma et al. 2021, arXiv 2107.00630; the log-signal-to-noise ratio falls linearly with time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Denoiser", "DiffusionPrior", "MixturePrior", "stratified_times"]

GROUPS = 16
FREQUENCIES = 16


def stratified_times(n: int, per_row: int, source: torch.Generator) -> Tensor:
    """Times (per_row, n) in (0, 1): of each row one in every of ``per_row`` equal parts.

    A mean over evenly spaced times that start behind 0 leaves out where the loss is greatest, and
    is lower than the bound that it is taken for.
    """
    device = source.device
    offset = torch.rand(per_row, n, generator=source, device=device)
    return (torch.arange(per_row, device=device)[:, None] + offset) / per_row


class Denoiser(nn.Module):
    """Predicts the noise in coefficients (n, c, d, d) at times (n,): a U-Net of one resolution.

    Args:
        channels: c.
        width: of the hidden layers, a multiple of 16.
        blocks: on the way in, and as many on the way out.
        classes: one of which it is told; 0 is none.
    """

    frequencies: Tensor

    def __init__(self, channels: int, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        exponents = torch.linspace(0, math.log(1000.0), FREQUENCIES)
        self.register_buffer("frequencies", exponents.exp(), persistent=False)
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width)
        )
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(_FilmBlock(width, width) for _ in range(blocks))
        self.attention = _Attention(width)
        self.up = nn.ModuleList(_FilmBlock(2 * width, width) for _ in range(blocks))
        self.leave = nn.Sequential(
            nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1)
        )
        for parameter in self.leave[2].parameters():
            nn.init.zeros_(parameter)
        self.label = nn.Embedding(classes, 2 * width) if classes else None

    def forward(self, z: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The noise (n, c, d, d) in z (n, c, d, d) at times t (n,), of classes (n,)."""
        angle = t[:, None] * self.frequencies
        time = self.time(torch.cat([angle.cos(), angle.sin()], dim=1))  # (n, 2 width)
        if self.label is not None:
            time = time + self.label(labels)
        time = F.silu(time)
        h = self.enter(z)
        skipped = []
        for block in self.down:
            h = block(h, time)
            skipped.append(h)
        h = self.attention(h)
        for block in self.up:
            h = block(torch.cat([h, skipped.pop()], dim=1), time)
        noise: Tensor = self.leave(h)
        return noise


class _FilmBlock(nn.Module):
    """Two convolutions; the time scales and shifts what is between them (FiLM)."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(GROUPS, n_in), nn.SiLU(), nn.Conv2d(n_in, width, 3, padding=1)
        )
        self.norm = nn.GroupNorm(GROUPS, width)
        self.film = nn.Linear(2 * width, 2 * width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Identity() if n_in == width else nn.Conv2d(n_in, width, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.film(time)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.second(F.silu(h))
        return out


class _Attention(nn.Module):
    """Each place looks at all others, with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.to_all = nn.Conv2d(width, 3 * width, 1)
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.flatten(2).mT for part in self.to_all(self.norm(x)).chunk(3, dim=1)
        )  # (n, d d, width) each
        found = F.scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
        out: Tensor = x + self.leave(found)
        return out


class DiffusionPrior(nn.Module):
    """r(u), known by a bound of its likelihood and by draws.

    Args:
        denoiser: eps(z, t).
        shape: of u, (c, d, d).
        gamma: the logarithm of noise variance over signal variance at times 0 and 1.
    """

    def __init__(
        self, denoiser: nn.Module, shape: tuple[int, int, int], gamma: tuple[float, float]
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.shape = shape
        self.first, self.last = gamma

    def gamma(self, t: Tensor) -> Tensor:
        """The logarithm of noise variance over signal variance at times t."""
        return self.first + (self.last - self.first) * t

    def corrupt(self, u: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """z_t (n, c, d, d) of u at times t (n,)."""
        gamma = self.gamma(t)[:, None, None, None]
        return torch.sigmoid(-gamma).sqrt() * u + torch.sigmoid(gamma).sqrt() * noise

    def diffusion_loss(
        self, u: Tensor, t: Tensor, noise: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """An unbiased estimate (n,) of the loss of continuous time, in nats, for t ~ U(0, 1)."""
        error = noise - self.denoiser(self.corrupt(u, t, noise), t, labels)
        return 0.5 * (self.last - self.first) * error.square().flatten(1).sum(dim=1)

    def end_losses(self, u: Tensor) -> Tensor:
        """What both ends of time add (n,), in nats: reconstruction, in its mean, and prior."""
        d = u[0].numel()
        reconstruction = 0.5 * d * (1 + self.first + math.log(2 * math.pi))
        kept, lost = 1 / (1 + math.exp(self.last)), 1 / (1 + math.exp(-self.last))
        whole = kept * u.square().flatten(1).sum(dim=1) + d * (lost - math.log(lost) - 1)
        return reconstruction + 0.5 * whole

    def bound(self, u: Tensor, t: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """An estimate (n,) of an upper bound of -log r(u), in nats; unbiased for t ~ U(0, 1)."""
        return self.diffusion_loss(u, t, noise, labels) + self.end_losses(u)

    @torch.no_grad()
    def mean_bound(
        self, u: Tensor, times: int, source: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """The mean (n,) of :meth:`bound` over as many stratified times and noises for each row."""
        total = torch.zeros(len(u), device=u.device)
        for t in stratified_times(len(u), times, source):
            noise = torch.randn(u.shape, generator=source, device=u.device)
            total += self.diffusion_loss(u, t, noise, labels)
        return total / times + self.end_losses(u)

    @torch.no_grad()
    def sample(
        self, n: int, steps: int, source: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Draws (n, c, d, d) by ancestral sampling; what is predicted is clipped to [-1, 1].

        The last prediction is the draw.
        """
        device = source.device
        z = torch.randn(n, *self.shape, generator=source, device=device)
        for i in range(steps, 0, -1):
            t = torch.full((n,), i / steps, device=device)
            gamma, later = self.gamma(t)[0], self.gamma(t - 1 / steps)[0]
            kept, left = torch.sigmoid(-gamma), torch.sigmoid(-later)  # shares of signal variance
            u = (z - (1 - kept).sqrt() * self.denoiser(z, t, labels)) / kept.sqrt()
            u = u.clamp(-1, 1)
            if i == 1:
                return u
            removed = -torch.expm1(later - gamma)  # of the noise, by this step
            mean = left.sqrt() * (z / kept.sqrt() * (1 - removed) + removed * u)
            noise = torch.randn(z.shape, generator=source, device=device)
            z = mean + ((1 - left) * removed).sqrt() * noise
        return z


class MixturePrior(nn.Module):
    """r(u) as a mixture of Gaussians, whose weights depend on the class: known exactly.

    Args:
        shape: of u, (c, d, d).
        components: Gaussians, of diagonal covariance.
        classes: of which one is known; 0 is none.
    """

    def __init__(self, shape: tuple[int, int, int], components: int, classes: int) -> None:
        super().__init__()
        self.shape = shape
        size = math.prod(shape)
        self.weight = nn.Parameter(torch.zeros(max(1, classes), components))
        self.mean = nn.Parameter(torch.zeros(components, size))
        self.log_variance = nn.Parameter(torch.zeros(components, size))

    @torch.no_grad()
    def start(self, u: Tensor, source: torch.Generator) -> None:
        """Start at some of the pseudoinputs u (n, c, d, d), as wide as all of them."""
        rows = u.flatten(1)
        chosen = torch.randint(len(rows), (len(self.mean),), generator=source, device=u.device)
        self.mean.copy_(rows[chosen])
        self.log_variance.copy_(rows.var(dim=0).clamp(min=1e-4).log().expand_as(self.mean))

    def _log_weights(self, labels: Tensor | None, n: int) -> Tensor:
        """(n, components)."""
        chosen = self.weight.expand(n, -1) if labels is None else self.weight[labels]
        return chosen.log_softmax(dim=1)

    def surprise(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """-log r(u) (n,), in nats."""
        rows = u.flatten(1)[:, None]  # (n, 1, size)
        squares = (rows - self.mean).square() * (-self.log_variance).exp()
        each = -0.5 * (squares + self.log_variance + math.log(2 * math.pi)).sum(dim=2)
        return -(each + self._log_weights(labels, len(u))).logsumexp(dim=1)

    def bound(self, u: Tensor, t: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """:meth:`surprise`: neither time nor noise matters."""
        return self.surprise(u, labels)

    @torch.no_grad()
    def mean_bound(
        self, u: Tensor, times: int, source: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """:meth:`surprise`, in which nothing is random."""
        return self.surprise(u, labels)

    @torch.no_grad()
    def sample(
        self, n: int, steps: int, source: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Draws (n, c, d, d); of no steps."""
        share = self._log_weights(labels, n).exp()
        chosen = torch.multinomial(share, 1, generator=source)[:, 0]
        mean, deviation = self.mean[chosen], (0.5 * self.log_variance[chosen]).exp()
        noise = torch.randn(mean.shape, generator=source, device=source.device)
        return (mean + deviation * noise).view(n, *self.shape)

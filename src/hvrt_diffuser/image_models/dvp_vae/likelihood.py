"""Likelihoods of pixels: Bernoulli, and a mixture of discretised logistics."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "bernoulli_log_likelihood",
    "logistic_mixture_log_likelihood",
    "logistic_mixture_parameters",
    "sample_logistic_mixture",
]

MIN_LOG_SCALE = -7.0
HALF_BIN = 1 / 255  # in units of [-1, 1]


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """Log p(x) (n,), in nats, of binary images x (n, c, h, w)."""
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(dim=1)


def logistic_mixture_parameters(channels: int, components: int) -> int:
    """Numbers that a pixel needs: weights, means, scales, and how a channel moves later ones."""
    return components * (1 + 2 * channels + channels * (channels - 1) // 2)


def _parts(parameters: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (n, k, h, w), means and log scales (n, k, c, h, w), and moves (n, k, p, h, w)."""
    n, _, h, w = parameters.shape
    pairs = channels * (channels - 1) // 2
    split = parameters.view(n, -1, 1 + 2 * channels + pairs, h, w)
    logits, means, scales, moves = split.split([1, channels, channels, pairs], dim=2)
    return logits[:, :, 0], means, scales.clamp(min=MIN_LOG_SCALE), moves.tanh()


def _moved(means: Tensor, moves: Tensor, x: Tensor, channel: int) -> Tensor:
    """The mean (n, k, h, w) of a channel, given those before it in x (n, c, h, w)."""
    mean = means[:, :, channel]
    first = channel * (channel - 1) // 2
    for earlier in range(channel):
        mean = mean + moves[:, :, first + earlier] * x[:, None, earlier]
    return mean


def logistic_mixture_log_likelihood(parameters: Tensor, x: Tensor) -> Tensor:
    """Log p(x) (n,), in nats, of images x (n, c, h, w), multiples of 1/255 in [0, 1].

    Salimans et al. 2017 (arXiv 1701.05517): the components share their choice over the channels,
    and the mean of a channel depends linearly on the channels before it.

    Args:
        parameters: (n, :func:`logistic_mixture_parameters`, h, w).
        x: the images.
    """
    channels = x.shape[1]
    logits, means, log_scales, moves = _parts(parameters, channels)
    y = 2 * x - 1
    total = F.log_softmax(logits, dim=1)
    for c in range(channels):
        value = y[:, None, c]  # (n, 1, h, w)
        centred = value - _moved(means, moves, y, c)
        inverse = (-log_scales[:, :, c]).exp()
        upper, lower = inverse * (centred + HALF_BIN), inverse * (centred - HALF_BIN)
        # log(sigmoid(upper) - sigmoid(lower)), which loses no digits in either tail
        width = 2 * HALF_BIN * inverse
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        log_p = torch.where(value < -1 + HALF_BIN, F.logsigmoid(upper), inside)
        log_p = torch.where(value > 1 - HALF_BIN, F.logsigmoid(-lower), log_p)
        total = total + log_p
    return total.logsumexp(dim=1).flatten(1).sum(dim=1)


def sample_logistic_mixture(parameters: Tensor, channels: int, source: torch.Generator) -> Tensor:
    """Draws (n, c, h, w) in [0, 1], rounded to multiples of 1/255."""
    logits, means, log_scales, moves = _parts(parameters, channels)
    uniform = torch.rand(logits.shape, generator=source, device=logits.device)
    chosen = (logits - (-uniform.clamp(1e-5, 1 - 1e-5).log()).log()).argmax(dim=1, keepdim=True)
    y = logits.new_zeros(len(logits), channels, *logits.shape[2:])
    for c in range(channels):
        mean = _moved(means, moves, y, c).gather(1, chosen)[:, 0]
        scale = log_scales[:, :, c].gather(1, chosen)[:, 0].exp()
        u = torch.rand(mean.shape, generator=source, device=mean.device).clamp(1e-5, 1 - 1e-5)
        y[:, c] = (mean + scale * (u.log() - torch.log1p(-u))).clamp(-1, 1)
    return ((y + 1) * 127.5).round() / 255

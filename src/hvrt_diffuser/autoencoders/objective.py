"""The training objective: the negative ELBO with a weight on its KL term."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Likelihood", "kl_to_standard_normal", "negative_log_likelihood", "reparameterise"]

Likelihood = Literal["bernoulli", "gaussian"]


def negative_log_likelihood(logits: Tensor, x: Tensor, likelihood: Likelihood) -> Tensor:
    """Reconstruction term in nats per image: summed over pixels, averaged over the batch.

    Args:
        logits: decoder output before the sigmoid (n, c, h, w).
        x: images in [0, 1] (n, c, h, w).
        likelihood: ``bernoulli``, the cross-entropy of grey levels taken as probabilities; or
            ``gaussian`` around the sigmoid with the one variance that is optimal for the batch,
            so that no noise level has to be chosen (Rybkin et al. 2021, arXiv 2006.13202, eq. 6).

    Returns:
        A scalar.
    """
    logits = logits.float()
    n = len(x)
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / n
    mse = F.mse_loss(torch.sigmoid(logits), x)
    return 0.5 * (x.numel() / n) * (torch.log(2 * math.pi * mse) + 1)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats: summed over dimensions, averaged over
    the batch (Kingma & Welling 2014, arXiv 1312.6114, appendix B).

    Args:
        mean: (n, d).
        log_variance: (n, d).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()


def reparameterise(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from N(mean, exp(log_variance)) with a gradient to both; (n, d)."""
    noise = torch.randn(mean.shape, generator=generator, device=generator.device)
    return mean + torch.exp(0.5 * log_variance) * noise.to(mean.device)

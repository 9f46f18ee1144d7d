"""What keeps a deterministic autoencoder's latents easy to draw from."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from hvrt_diffuser.autoencoders.network import ConvolutionalAutoencoder
from hvrt_diffuser.common.bounds import PenaltyWeight
from hvrt_diffuser.common.options import Options

__all__ = ["Regulariser", "constrain", "maximum_mean_discrepancy", "release"]

# Widths of the kernel, as shares of the distance that two normal latents have on average.
# Tolstikhin et al. 2018, arXiv 1711.01558, have these in their experiments.
WIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Regulariser(Options):
    """Terms beside the reconstruction of an autoencoder without posteriors.

    The regularised autoencoders of Ghosh et al. 2020 (arXiv 1903.12436, Equations 9 to 11) pull
    the latents to the origin and keep the decoder smooth; the Wasserstein autoencoder of
    Tolstikhin et al. 2018 (arXiv 1711.01558, Algorithm 2) moves all latents together to N(0, I).
    """

    kind: Literal["decoder_weights", "decoder_gradient", "decoder_spectrum", "mmd"] = Field(
        description="what is kept small: the decoder's squared weights (RAE-L2), its squared "
        "gradient (RAE-GP), each layer's largest singular value, which becomes 1 (RAE-SN), or the "
        "discrepancy of latents and N(0, I) (WAE-MMD)"
    )
    weight: PenaltyWeight = Field(
        0.0, description="of that, in nats per image; a spectrum is not weighted"
    )
    latent_weight: PenaltyWeight = Field(0.0, description="of half the squared norm of a latent")

    def penalty(
        self, model: ConvolutionalAutoencoder, z: Tensor, logits: Tensor, source: torch.Generator
    ) -> Tensor:
        """A scalar in nats per image, for latents (n, d) and what the decoder made of them."""
        penalty = self.latent_weight * 0.5 * z.float().square().sum(dim=1).mean()
        if self.kind == "decoder_weights":
            squared = [p.square().sum() for p in model.decoder.parameters() if p.ndim > 1]
            penalty = penalty + self.weight * torch.stack(squared).sum()
        elif self.kind == "decoder_gradient":
            penalty = penalty + self.weight * _squared_gradient(z, logits, source)
        elif self.kind == "mmd":
            prior = torch.randn(z.shape, generator=source, device=z.device)
            penalty = penalty + self.weight * maximum_mean_discrepancy(z.float(), prior)
        return penalty


def _squared_gradient(z: Tensor, logits: Tensor, source: torch.Generator) -> Tensor:
    """Half the squared Frobenius norm of the decoder's Jacobian, averaged over the batch.

    Estimated without bias by a random direction of the image (Hutchinson 1990): a Jacobian has as
    many rows as the image has numbers.
    """
    image = torch.sigmoid(logits.float())
    direction = torch.randn(image.shape, generator=source, device=image.device)
    (gradient,) = torch.autograd.grad((image * direction).sum(), z, create_graph=True)
    return 0.5 * gradient.float().square().sum(dim=1).mean()


def maximum_mean_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of rows (n, d) and (m, d), without bias.

    Its kernels are inverse multiquadratics, c / (c + |x - y|^2), summed over several c.
    """
    n, m, d = len(x), len(y), x.shape[1]
    within_x, within_y = _squared_distances(x, x), _squared_distances(y, y)
    between = _squared_distances(x, y)
    found = x.new_zeros(())
    for width in WIDTHS:
        c = 2 * d * width
        same_x = (c / (c + within_x)).sum() - n  # a row has a distance of 0 to itself
        same_y = (c / (c + within_y)).sum() - m
        found = found + same_x / (n * (n - 1)) + same_y / (m * (m - 1))
        found = found - 2 * (c / (c + between)).mean()
    return found


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    product = x @ y.T
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * product).clamp(min=0)


def constrain(model: ConvolutionalAutoencoder, regulariser: Regulariser | None) -> None:
    """Give a network what its regulariser needs while it is trained."""
    if regulariser is not None and regulariser.kind == "decoder_spectrum":
        for layer in _weighted(model.decoder):
            parametrizations.spectral_norm(layer)


def release(model: ConvolutionalAutoencoder) -> None:
    """Make what :func:`constrain` gave part of the weights."""
    for layer in _weighted(model.decoder):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def _weighted(decoder: nn.Module) -> list[nn.Module]:
    return [
        layer
        for layer in decoder.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]

"""A convolutional autoencoder that builds itself from the shape of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.autoencoders.base import OWN_FORM, Autoencoder
from hvrt_diffuser.autoencoders.principal import PrincipalPath
from hvrt_diffuser.common.errors import InputError

__all__ = ["Architecture", "ConvolutionalAutoencoder"]

# Of a posterior, at least and at most: the first steps on large images go far, and its exponential
# is a number up to 88.
LOG_VARIANCE = -30.0, 20.0


@dataclass(frozen=True)
class Architecture:
    """What rebuilds a convolutional autoencoder.

    Attributes:
        shape: channels, height and width of an image.
        latent_dim: dimensions of a latent.
        width: channels at half the image's size; each further halving doubles them.
        depth: number of halvings of height and width.
        variational: whether the encoder also gives a log-variance per dimension.
        residual_blocks: at each size, in the encoder and in the decoder.
        principal_path: whether principal components pass by the convolutions.

    Raises:
        InputError: the image is smaller than the halvings allow, or than its principal components.
    """

    shape: tuple[int, int, int]
    latent_dim: int
    width: int
    depth: int
    variational: bool = False
    residual_blocks: int = 0
    principal_path: bool = False

    def __post_init__(self) -> None:
        c, h, w = self.shape
        if min(h, w) < 2**self.depth:
            raise InputError(
                f"images of {h}x{w} pixels cannot be halved {self.depth} times, expected sides of "
                f"at least {2**self.depth}: lower depth or resize the images"
            )
        if self.principal_path and self.latent_dim > c * h * w:
            raise InputError(
                f"latent_dim is {self.latent_dim}, expected at most {c * h * w}, the numbers of an "
                f"image of {c}x{h}x{w}, beside principal_path: lower it"
            )


class ConvolutionalAutoencoder(Autoencoder):
    """Strided convolutions with batch normalisation, and one linear layer to and from the latent.

    Residual blocks (He et al. 2016, arXiv 1603.05027) may stand at each size, and principal
    components may pass by all of it, in latents and logits; digits do without.

    The first halving is a pixel unshuffle and the last doubling a pixel shuffle (Shi et al. 2016,
    arXiv 1609.05158): the full resolution is the slowest place to convolve at, and nothing is lost
    by staying away from it. An image whose sides are no multiple of 2**depth is padded with zeros
    at the lower and right edge on its way in and cropped on its way out.
    """

    form = OWN_FORM
    described_by = Architecture
    architecture: Architecture

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        c, h, w = architecture.shape
        unit = 2**architecture.depth
        self._padding = (-w % unit, -h % unit)
        widths = [architecture.width * 2**i for i in range(architecture.depth)]
        bottom = (widths[-1], math.ceil(h / unit), math.ceil(w / unit))
        n_bottom = math.prod(bottom)
        n_encoded = architecture.latent_dim * (2 if architecture.variational else 1)

        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * c, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.encoder += _residual(widths[0], architecture.residual_blocks)
        for narrow, wide in zip(widths[:-1], widths[1:], strict=True):
            self.encoder += nn.Sequential(
                nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
            )
            self.encoder += _residual(wide, architecture.residual_blocks)
        self.encoder += nn.Sequential(nn.Flatten(), nn.Linear(n_bottom, n_encoded))

        self.decoder = nn.Sequential(
            nn.Linear(architecture.latent_dim, n_bottom, bias=False),
            nn.Unflatten(1, bottom),
            nn.BatchNorm2d(bottom[0]),
            nn.ReLU(),
        )
        self.decoder += _residual(bottom[0], architecture.residual_blocks)
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.decoder += nn.Sequential(
                nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(),
            )
            self.decoder += _residual(narrow, architecture.residual_blocks)
        self.decoder += nn.Sequential(nn.Conv2d(widths[0], 4 * c, 3, padding=1), nn.PixelShuffle(2))

        self.principal: PrincipalPath | None = None
        if architecture.principal_path:
            self.principal = PrincipalPath(architecture.shape, architecture.latent_dim)
            # The convolutions begin by adding nothing to what is linear.
            for last in (self.encoder[-1], self.decoder[-2]):
                for parameter in last.parameters():
                    nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :meth:`Autoencoder.encode`."""
        pad_w, pad_h = self._padding
        padded = F.pad(x, (0, pad_w, 0, pad_h)).contiguous(memory_format=torch.channels_last)
        mean, log_variance = self.encoder(padded), None  # (n, d) or (n, 2d)
        if self.architecture.variational:
            mean, log_variance = mean.chunk(2, dim=1)
            log_variance = log_variance.clamp(*LOG_VARIANCE)
        if self.principal is not None:
            mean = mean + self.principal.encode(x)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """See :meth:`Autoencoder.decode`."""
        _, h, w = self.architecture.shape
        logits: Tensor = self.decoder(z)[:, :, :h, :w]
        return logits if self.principal is None else logits + self.principal.decode(z)


def _residual(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_ResidualBlock(width) for _ in range(blocks)))


class _ResidualBlock(nn.Module):
    """x + two convolutions, each after normalisation and activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.net(x)
        return out

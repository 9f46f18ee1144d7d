"""A convolutional autoencoder that builds itself from the shape of an image."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.autoencoders.principal import PrincipalPath
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_tensors, read_tensors, write_tensors

__all__ = ["Architecture", "Autoencoder"]


@dataclass(frozen=True)
class Architecture:
    """What rebuilds an autoencoder.

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
                f"at least {2**self.depth}: lower ae_training.depth or set dataset.resize"
            )
        if self.principal_path and self.latent_dim > c * h * w:
            raise InputError(
                f"ae_training.latent_dim is {self.latent_dim}, expected at most {c * h * w}, the "
                f"numbers of an image of {c}x{h}x{w}, beside ae_training.principal_path: lower it"
            )


class Autoencoder(nn.Module):
    """Strided convolutions with batch normalisation, and one linear layer to and from the latent.

    Residual blocks (He et al. 2016, arXiv 1603.05027) may stand at each size, and principal
    components may pass by all of it, in latents and logits; digits do without.

    The first halving is a pixel unshuffle and the last doubling a pixel shuffle (Shi et al. 2016,
    arXiv 1609.05158): the full resolution is the slowest place to convolve at, and nothing is lost
    by staying away from it. An image whose sides are no multiple of 2**depth is padded with zeros
    at the lower and right edge on its way in and cropped on its way out.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
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
        """Map images in [0, 1], (n, c, h, w), to latents (n, d).

        Returns:
            The latents and None, or the mean and log-variance of the posterior of a VAE.
        """
        pad_w, pad_h = self._padding
        padded = F.pad(x, (0, pad_w, 0, pad_h)).contiguous(memory_format=torch.channels_last)
        mean, log_variance = self.encoder(padded), None  # (n, d) or (n, 2d)
        if self.architecture.variational:
            mean, log_variance = mean.chunk(2, dim=1)
        if self.principal is not None:
            mean = mean + self.principal.encode(x)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Map latents (n, d) to logits (n, c, h, w); their sigmoid is the image in [0, 1]."""
        _, h, w = self.architecture.shape
        logits: Tensor = self.decoder(z)[:, :, :h, :w]
        return logits if self.principal is None else logits + self.principal.decode(z)

    def fingerprint(self) -> str:
        """A short hash of the weights: latents belong to the network that made them."""
        return hash_tensors(self.state_dict())

    def save(self, path: str | Path) -> None:
        """Write the weights, and in the header what rebuilds the network."""
        header = {"kind": "autoencoder", "architecture": asdict(self.architecture)}
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> Autoencoder:
        """Read what :meth:`save` wrote; the network is in evaluation mode, on the CPU.

        Raises:
            InputError: the file is missing, cut short, or holds other weights than it says.
        """
        tensors, header = read_tensors(path, "autoencoder")
        architecture = header["architecture"]
        model = cls(Architecture(**{**architecture, "shape": tuple(architecture["shape"])}))
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            raise InputError(
                f"{path} holds weights of another network than the architecture in its header: "
                "delete it and run ae_training again"
            ) from error
        return model.eval()


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

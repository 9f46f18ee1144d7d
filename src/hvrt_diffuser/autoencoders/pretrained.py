"""A pretrained autoencoder of images, as one of flat latents: its grid on principal components."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.autoencoders.base import Autoencoder
from hvrt_diffuser.autoencoders.pretrained_files import FAMILIES, build_network
from hvrt_diffuser.autoencoders.principal import PrincipalComponents
from hvrt_diffuser.common.errors import InputError

__all__ = ["PretrainedArchitecture", "PretrainedAutoencoder"]

# Black and white have no logit: this near to them, they are still 0 and 255 of uint8.
EDGE = 1e-3
AT_ONCE = 32  # images, and ...
PIXELS = 2**18  # ... of them together, at the most, unless one has more


@dataclass(frozen=True)
class PretrainedArchitecture:
    """What rebuilds a pretrained autoencoder.

    Attributes:
        shape: channels, height and width of an image.
        latent_dim: dimensions of a latent, principal components of the grid.
        family: the class of diffusers.
        config: all of its options, as JSON.
        weights: a digest of the files that it was read from.
        variational: never; the mean of a posterior is taken.

    Raises:
        InputError: images that the network does not take, or more components than its grid has
            numbers.
    """

    shape: tuple[int, int, int]
    latent_dim: int
    family: str
    config: dict[str, Any]
    weights: str
    variational: bool = False

    def __post_init__(self) -> None:
        c, h, w = self.shape
        if min(h, w) < self.factor:
            raise InputError(
                f"images of {h}x{w} pixels are smaller than the {self.factor}x{self.factor} that "
                f"this {self.family} encodes as one place, expected sides of at least "
                f"{self.factor}: resize the images, or take an autoencoder of a smaller factor"
            )
        ends = {self.config["in_channels"], self.config.get("out_channels", self.channels)}
        taken = {c, 3} if c == 1 else {c}
        if len(ends) > 1 or not ends <= taken:
            raise InputError(
                f"this {self.family} has images of {' and '.join(map(str, sorted(ends)))} "
                f"channels, expected {' or '.join(map(str, sorted(taken)))}: take one that fits "
                "the images"
            )
        made = self.factor
        if self.family == "AutoencoderTiny":
            step, sizes = "upsampling_scaling_factor", "decoder_block_out_channels"
            made = self.config[step] ** (len(self.config[sizes]) - 1)
        if made != self.factor:
            raise InputError(
                f"this {self.family} makes {made}x{made} pixels of a place and encodes "
                f"{self.factor}x{self.factor} as one, expected the same: take another"
            )
        if self.latent_dim > math.prod(self.grid):
            raise InputError(
                f"latent_dim is {self.latent_dim}, expected at most {math.prod(self.grid)}, the "
                f"numbers of a grid of {'x'.join(map(str, self.grid))}: lower it"
            )

    @property
    def channels(self) -> int:
        """Of the images that the network takes."""
        return int(self.config["in_channels"])

    @property
    def factor(self) -> int:
        """By which the encoder shrinks height and width."""
        return int(2 ** (len(self.config[FAMILIES[self.family]]) - 1))

    @property
    def grid(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's own latents."""
        _, h, w = self.shape
        channels = self.config.get("vq_embed_dim") or self.config["latent_channels"]
        return int(channels), -(-h // self.factor), -(-w // self.factor)


class PretrainedAutoencoder(Autoencoder):
    """A network of diffusers, whose grid of latents is taken on its principal components.

    Grey images are repeated to three channels on their way in and averaged on their way out.
    An image whose sides are no multiple of the network's factor is continued by its last row and
    column, and cropped on its way out.
    """

    form = "pretrained"
    described_by = PretrainedArchitecture
    architecture: PretrainedArchitecture

    def __init__(self, architecture: PretrainedArchitecture) -> None:
        super().__init__(architecture)
        self.network = build_network(architecture.family, architecture.config)
        self.principal = PrincipalComponents(math.prod(architecture.grid), architecture.latent_dim)
        _, h, w = architecture.shape
        self._padding = (0, -w % architecture.factor, 0, -h % architecture.factor)
        self._at_once = max(1, min(AT_ONCE, PIXELS // (h * w)))
        self._scale = float(architecture.config.get("scaling_factor") or 1)
        self._shift = float(architecture.config.get("shift_factor") or 0)
        # As a fit leaves it: attention takes another kernel where gradients are asked for.
        self.requires_grad_(False)

    @property
    def decoding(self) -> nn.ModuleList:
        """The parts of the network that decode."""
        after = getattr(self.network, "post_quant_conv", None)
        return nn.ModuleList([self.network.decoder, *([] if after is None else [after])])

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        """See :meth:`Autoencoder.encode`."""
        return self.principal.encode_rows(self.rows(x)), None

    def rows(self, x: Tensor) -> Tensor:
        """Flat grids, float32 (n, numbers), of images in [0, 1], (n, c, h, w)."""
        return self._by_parts(lambda part: self.grid(part).flatten(1).float(), x)

    def grid(self, x: Tensor) -> Tensor:
        """The network's latents, scaled as diffusion models take them, of images in [0, 1]."""
        x = F.pad(x, self._padding, mode="replicate")
        found = self.network.encode(2 * x.expand(-1, self.architecture.channels, -1, -1) - 1)
        if self.architecture.family == "AutoencoderKL":
            grid: Tensor = found.latent_dist.mode()
        else:
            grid = found[0]
        return (grid - self._shift) * self._scale

    def decode(self, z: Tensor) -> Tensor:
        """See :meth:`Autoencoder.decode`."""
        return torch.logit(self._by_parts(lambda part: self.pixels(part).float(), z), eps=EDGE)

    def pixels(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) of latents (n, d), which may leave [0, 1], where a logit ends."""
        c, h, w = self.architecture.shape
        grid = self.principal.decode_rows(z).view(-1, *self.architecture.grid)
        images: Tensor = self.network.decode(grid / self._scale + self._shift).sample
        images = (images[:, :, :h, :w] + 1) / 2
        return images if images.shape[1] == c else images.mean(1, keepdim=True)

    def _by_parts(self, work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """``work`` on a few rows at a time, and always as many.

        Activations at full size fill any memory, and a convolution of fewer rows may round
        differently: an image's bytes do not depend on how many are made at once.
        """
        found = []
        for part in rows.split(self._at_once):
            missing = part.new_zeros((self._at_once - len(part), *part.shape[1:]))
            found.append(work(torch.cat([part, missing]))[: len(part)])
        return torch.cat(found)

"""Images of a coarse code that a latent sampler draws, and of detail that a network draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders.principal import PrincipalComponents
from hvrt_diffuser.image_models.coarse_to_fine.network import DetailNetwork
from hvrt_diffuser.image_models.protocol import ImageModel, requested_labels
from hvrt_diffuser.samplers import Draws, LatentSampler

__all__ = ["Coarse", "CoarseToFine", "moved"]

AT_ONCE = 256  # images that the network draws together


class Coarse(PrincipalComponents):
    """Codes of images, and the blurred images of codes: principal components of pixels.

    Args:
        shape: of an image.
        latent_dim: numbers of a code.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int) -> None:
        super().__init__(math.prod(shape), latent_dim)
        self.size: dict[str, Any] = {"shape": list(shape), "latent_dim": latent_dim}

    def encode(self, images: Tensor) -> Tensor:
        """Codes (n, d) of images uint8 (n, c, h, w)."""
        return self.encode_rows(images.flatten(1).float() / 255)

    def decode(self, codes: Tensor) -> Tensor:
        """Blurred images (n, c, h, w), about in [0, 1], of codes (n, d)."""
        return self.decode_rows(codes).view(-1, *self.size["shape"])


@dataclass(frozen=True)
class CoarseToFine(ImageModel):
    """Draws a code, and in one evaluation of a network the image of it.

    Attributes:
        coarse: between codes and blurred images.
        codes: draws codes; a training image's is among them where ``codes.keeps_latents``.
        network: adds the detail.
        strength: how far a code goes from the row that it starts from, where it starts from one,
            in units of the sampler's own move: 0 is the row itself.
        origin: what it was fitted by, kept in the file's header.
    """

    coarse: Coarse
    codes: LatentSampler
    network: DetailNetwork
    strength: float
    origin: dict[str, Any]

    form: ClassVar[str] = "coarse code and detail"

    @property
    def counts(self) -> Tensor:
        """int64 (k,), the number of images of each class that it was fitted on."""
        return self.codes.counts

    @torch.no_grad()
    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.image_models.ImageModel.sample`."""
        labels = requested_labels(n, labels, self.counts, generator)
        parts = [self._drawn(own, generator) for own in labels.split(AT_ONCE)]
        return torch.cat(parts), labels

    def _drawn(self, labels: Tensor, source: torch.Generator) -> Tensor:
        drawn = self.codes.draw(len(labels), labels, generator=source)
        strength = torch.full((len(labels),), self.strength, device=labels.device)
        codes = moved(drawn, getattr(self.codes, "latents", None), strength)
        images = self.network(self.coarse.decode(codes), labels, strength, source)
        return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def moved(drawn: Draws, latents: Tensor | None, strength: Tensor) -> Tensor:
    """Codes (n, d) that lie so many times as far from the rows that they started from.

    Args:
        drawn: n of them; those that started from no rows stay as they are.
        latents: (m, d), of the rows; None leaves all as they are.
        strength: (n,).
    """
    if drawn.rows is None or latents is None:
        return drawn.latents
    rows = latents[drawn.rows]
    return rows + strength[:, None] * (drawn.latents - rows)

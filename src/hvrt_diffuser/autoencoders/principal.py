"""Principal components: of pixels around the convolutions of an autoencoder, or of a grid."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator

__all__ = ["PrincipalComponents", "PrincipalPath"]

# Images of the linear path leave [0, 1], where no logit is. The nearer to the ends it may go, the
# less the convolutions can still change there: the slope of a sigmoid is .01 at .01.
MARGIN = 0.01
MOST_NUMBERS = 2**26  # of the images that components are taken of: 21,845 of 32x32 in colour


class PrincipalComponents(nn.Module):
    """Rows on their principal components, and back.

    No reconstruction that is linear in the latent has a smaller squared error (Eckart and Young
    1936).

    Args:
        numbers: of a row.
        latent_dim: how many components.
    """

    remedy: ClassVar[str] = "lower latent_dim"

    def __init__(self, numbers: int, latent_dim: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("components", torch.zeros(latent_dim, numbers))

    def fit_rows(self, rows: Tensor, seed: int) -> None:
        """Take mean and components of rows, float32 (n, numbers) on the CPU.

        Raises:
            InputError: there are fewer rows than components.
        """
        latent_dim = len(self.components)
        self.check(len(rows), latent_dim)
        pca = PCA(latent_dim, random_state=seed).fit(rows.numpy())
        self.mean.copy_(torch.from_numpy(pca.mean_))
        self.components.copy_(torch.from_numpy(pca.components_))

    @classmethod
    def check(cls, n: int, latent_dim: int) -> None:
        """Raise InputError where ``n`` images have fewer components than ``latent_dim``."""
        if n < latent_dim:
            raise InputError(
                f"{n} training images have no {latent_dim} principal components, expected "
                f"at least {latent_dim} images: {cls.remedy}"
            )

    def encode_rows(self, rows: Tensor) -> Tensor:
        """Latents (n, d) of rows (n, numbers)."""
        return (rows - self.mean) @ self.components.T

    def decode_rows(self, z: Tensor) -> Tensor:
        """Rows (n, numbers) of latents (n, d)."""
        return self.mean + z @ self.components


class PrincipalPath(PrincipalComponents):
    """Images on their principal components, and back: what is linear in images is not learned.

    Gradient descent needs many epochs to come near these: the smaller a component's variance, the
    later it is found.

    Args:
        shape: channels, height and width of an image.
        latent_dim: how many components.
    """

    remedy: ClassVar[str] = "lower latent_dim or set principal_path to false"

    def __init__(self, shape: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__(math.prod(shape), latent_dim)
        self.shape = shape

    def fit(self, images: Tensor, rows: Tensor, seed: int) -> None:
        """Take mean and components of images.

        Args:
            images: uint8 (n, c, h, w).
            rows: int64 (m,), of the images to look at; of more than a quarter of a gigabyte
                holds, so many at random.
            seed: of them, and of the search for components.

        Raises:
            InputError: there are fewer images than components.
        """
        most = max(MOST_NUMBERS // math.prod(self.shape), len(self.components))
        if len(rows) > most:
            rows = rows[torch.randperm(len(rows), generator=generator(seed, "some rows"))[:most]]
        self.fit_rows(images[rows].flatten(1).cpu().float() / 255, seed)

    def encode(self, x: Tensor) -> Tensor:
        """Latents (n, d) of images in [0, 1], (n, c, h, w)."""
        return self.encode_rows(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """Logits (n, c, h, w) of latents (n, d)."""
        return torch.logit(self.decode_rows(z).float(), eps=MARGIN).view(-1, *self.shape)

"""Principal components as a fixed path around the convolutions of an autoencoder."""

from __future__ import annotations

import math

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError

__all__ = ["PrincipalPath"]

# Images of the linear path leave [0, 1], where no logit is. The nearer to the ends it may go, the
# less the convolutions can still change there: the slope of a sigmoid is .01 at .01.
MARGIN = 0.01


class PrincipalPath(nn.Module):
    """Images on their principal components, and back: what is linear in images is not learned.

    No reconstruction that is linear in the latent has a smaller squared error (Eckart and Young
    1936), and gradient descent needs many epochs to come near it: the smaller a component's
    variance, the later it is found.

    Args:
        shape: channels, height and width of an image.
        latent_dim: how many components.
    """

    def __init__(self, shape: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        self.shape = shape
        pixels = math.prod(shape)
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(latent_dim, pixels))

    def fit(self, images: Tensor, seed: int) -> None:
        """Take mean and components of images, uint8 (n, c, h, w).

        Raises:
            InputError: there are fewer images than components.
        """
        rows = images.flatten(1).cpu()
        latent_dim = len(self.components)
        if len(rows) < latent_dim:
            raise InputError(
                f"{len(rows)} training images have no {latent_dim} principal components, expected "
                f"at least {latent_dim} images: lower latent_dim or set principal_path to false"
            )
        pca = PCA(latent_dim, random_state=seed).fit((rows.float() / 255).numpy())
        self.mean.copy_(torch.from_numpy(pca.mean_))
        self.components.copy_(torch.from_numpy(pca.components_))

    def encode(self, x: Tensor) -> Tensor:
        """Latents (n, d) of images in [0, 1], (n, c, h, w)."""
        return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """Logits (n, c, h, w) of latents (n, d)."""
        images = self.mean + z @ self.components
        return torch.logit(images.float(), eps=MARGIN).view(-1, *self.shape)

"""The whole models that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.image_models import ImageGenerator
from hvrt_diffuser.image_models.dvp_vae import DVPVAEGenerator, bounds
from hvrt_diffuser.rivals.likelihood import binary_images
from hvrt_diffuser.rivals.registry import changed
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = [
    "GENERATORS",
    "Generator",
    "GeneratorName",
    "ImageEstimator",
    "check_generators",
    "tuned_generators",
]

GeneratorName = Literal["pixel_diffusion", "vq_vae", "dvp_vae"]
Bound = Callable[[Any, Tensor, int], float | None]


class ImageEstimator(Protocol):
    """What a model of images is trained by."""

    def shortened(self, share: float) -> Self:
        """The same with this share of its training, to try options by."""

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """Refuse images that no fit can be made of."""

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> ImageGenerator:
        """Train on images uint8 (n, c, h, w) and labels int64 (n,)."""

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Its options."""


@dataclass(frozen=True)
class Generator:
    """A model of images that is compared.

    Attributes:
        what: it is, in a few words.
        file: what its file calls itself.
        bound: gives -ELBO of binarised images uint8 (n, c, h, w) for a model and a seed, in nats
            per image; None for a model without one.
    """

    what: str
    file: str
    bound: Bound | None = None


def _dvp_vae_bound(model: DVPVAEGenerator, images: Tensor, seed: int) -> float | None:
    if images.shape[1] != 1:
        return None
    source = generator(seed, "rivals", "posterior", device=model.device)
    return bounds(model.network, binary_images(images).to(model.device), source=source).elbo


GENERATORS: dict[str, Generator] = {
    "pixel_diffusion": Generator("a UNet of diffusers on pixels", "pixel diffusion by velocity"),
    "vq_vae": Generator("codes, and a transformer that draws them", "VQ-VAE"),
    "dvp_vae": Generator(
        "a hierarchical VAE with a diffusion-based VampPrior", "DVP-VAE", _dvp_vae_bound
    ),
}


def tuned_generators(
    estimators: Mapping[str, ImageEstimator], changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, ImageEstimator]:
    """Whole models with some of their options changed.

    Args:
        estimators: by name.
        changes: of their options, by name, where there are any.

    Raises:
        InputError: options that are none of theirs.
    """
    return {
        name: changed(f"generator_candidates.{name}", estimator, changes.get(name, {}))
        for name, estimator in estimators.items()
    }


def check_generators(estimators: Mapping[str, ImageEstimator], images: LabelledImages) -> None:
    """Refuse images that one of the whole models cannot be trained on: its turn is hours away.

    Raises:
        InputError: there is one.
    """
    for name, estimator in estimators.items():
        try:
            estimator.check(images.images, images.labels)
        except InputError as error:
            raise InputError(f"{name} cannot be trained: {error}") from None

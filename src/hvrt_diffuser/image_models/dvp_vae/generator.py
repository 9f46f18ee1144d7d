"""DVP-VAE as a whole model like the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Epochs, LearningRate
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.binary import binary_images
from hvrt_diffuser.image_models.dvp_vae.bounds import bounds
from hvrt_diffuser.image_models.dvp_vae.model import DVPVAE
from hvrt_diffuser.image_models.dvp_vae.settings import SETTINGS, Setting
from hvrt_diffuser.image_models.dvp_vae.training import TrainingOptions, check_size, train
from hvrt_diffuser.image_models.protocol import (
    ImageModel,
    ImageModelEstimator,
    requested_labels,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["DVPVAEEstimator", "DVPVAEGenerator"]

AT_ONCE = 1024  # images that are drawn together


@dataclass(frozen=True)
class DVPVAEGenerator(ImageModel):
    """Draws images without classes: all labels are 0.

    Attributes:
        network: trained.
        counts: int64 (1,), the number of images that it was trained on.
        steps: of its diffusion.
        origin: what it was fitted by, kept in the file's header.
    """

    network: DVPVAE
    counts: Tensor
    steps: int
    origin: dict[str, Any]

    form: ClassVar[str] = "DVP-VAE"

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.image_models.ImageModel.sample`."""
        labels = requested_labels(n, labels, self.counts, generator)
        sizes = [min(AT_ONCE, n - start) for start in range(0, n, AT_ONCE)]
        images = [self.network.sample(size, self.steps, generator) for size in sizes]
        return (torch.cat(images).clamp(0, 1) * 255).round().to(torch.uint8), labels


@SAMPLERS.register("dvp_vae")
class DVPVAEEstimator(ImageModelEstimator):
    """Which setting of :data:`SETTINGS` is trained, how fast and for how long."""

    what: ClassVar[str] = "a hierarchical VAE with a diffusion-based VampPrior"

    setting: str = Field("reduced_mnist", description="a name of SETTINGS")
    epochs: Epochs | None = Field(None, description="null is as many as the setting has")
    learning_rate: LearningRate | None = Field(None, description="first; null is the setting's")

    @field_validator("setting")
    @classmethod
    def _known(cls, setting: str) -> str:
        if setting not in SETTINGS:
            raise ValueError(f"{setting!r} is none of {', '.join(SETTINGS)}: choose one of them")
        return setting

    def shortened(self, share: float) -> Self:
        """The same with this share of its training, at least an epoch: to try options by."""
        epochs = max(1, round(share * self._chosen()[1].epochs))
        return self.model_copy(update={"epochs": epochs})

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """Check images uint8 (n, c, h, w) before a fit; labels are not looked at.

        Returns:
            int64 (1,), the number of images.

        Raises:
            InputError: images that do not fit the setting.
        """
        setting, options = self._chosen()
        check_size(images, setting.architecture, options)
        return torch.tensor([len(images)])

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> DVPVAEGenerator:
        """See :meth:`ImageModelEstimator.fit`; labels are not looked at."""
        setting, options = self._chosen()
        network, _ = train(
            images, setting.architecture, options, seed=seed, device=device, checkpoint=checkpoint
        )
        counts = torch.tensor([len(images)], device=device)
        return DVPVAEGenerator(network.to(device), counts, setting.steps, self.origin(seed))

    def bound(self, model: DVPVAEGenerator, images: Tensor, seed: int) -> float | None:
        """See :meth:`ImageModelEstimator.bound`; None for colour."""
        if images.shape[1] != 1:
            return None
        source = generator(seed, "rivals", "posterior", device=model.device)
        return bounds(model.network, binary_images(images).to(model.device), source=source).elbo

    def _chosen(self) -> tuple[Setting, TrainingOptions]:
        setting = SETTINGS[self.setting]
        own = self.model_dump(include={"epochs", "learning_rate"}, exclude_none=True)
        return setting, setting.training.model_copy(update=own)

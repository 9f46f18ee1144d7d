"""DVP-VAE as a whole model like the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import BatchSize, Epochs, LearningRate, Side
from hvrt_diffuser.common.errors import InputError
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
    check_images,
    requested_labels,
)
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row

__all__ = ["DVPVAEEstimator", "DVPVAEGenerator"]

AT_ONCE = 256  # images that are drawn together


@dataclass(frozen=True)
class DVPVAEGenerator(ImageModel):
    """Draws images of classes; where it was not conditioned on any, all labels are 0.

    Attributes:
        network: trained.
        counts: int64 (k,), the number of images of each class that it was trained on; (1,) of all
            of them where it knows no classes.
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
        images = [
            self.network.sample(len(own), self.steps, generator, own)
            for own in labels.split(AT_ONCE)
        ]
        return (torch.cat(images).clamp(0, 1) * 255).round().to(torch.uint8), labels


@SAMPLERS.register("dvp_vae")
class DVPVAEEstimator(ImageModelEstimator):
    """Which setting of :data:`SETTINGS` is trained, how fast and for how long.

    What is None is as the setting has it. The last four options are what the paper compares with.
    """

    what: ClassVar[str] = "a hierarchical VAE with a diffusion-based VampPrior"

    setting: str = Field("reduced_mnist", description="a name of SETTINGS")
    conditional: bool = Field(
        True, description="whether the class is a condition of both priors; false as published"
    )
    epochs: Epochs | None = Field(None, description="null is as many as the setting has")
    batch_size: BatchSize | None = Field(None, description="per step; null is the setting's")
    learning_rate: LearningRate | None = Field(None, description="first; null is the setting's")
    pseudoinput: Literal["dct", "downsampled"] = Field(
        "dct", description="the lowest frequencies of an image, or means of squares"
    )
    pseudoinput_size: Side | None = Field(
        None, description="of its numbers in each direction; null is the setting's"
    )
    pseudoinput_prior: Literal["diffusion", "mixture"] = Field(
        "diffusion", description="of the pseudoinputs: a diffusion, or a mixture of 100 Gaussians"
    )
    aggregation: bool = Field(
        True, description="whether the sum of all latents alone reaches the pixels"
    )

    @field_validator("setting")
    @classmethod
    def _known(cls, setting: str) -> str:
        if setting not in SETTINGS:
            raise ValueError(f"{setting!r} is none of {', '.join(SETTINGS)}: choose one of them")
        return setting

    @property
    def labelled(self) -> bool:
        """See :attr:`ImageModelEstimator.labelled`."""
        return self.conditional

    def shortened(self, share: float) -> Self:
        """The same with this share of its training, at least an epoch: to try options by."""
        epochs = max(1, round(share * self._training.epochs))
        return self.model_copy(update={"epochs": epochs})

    def as_long_on(self, n: int, n_all: int) -> Self:
        """See :meth:`ImageModelEstimator.as_long_on`; a batch is at most half of the images."""
        training = self._training
        batch_size = max(1, min(training.batch_size, n // 2))
        steps = training.epochs * (n_all // training.batch_size)
        epochs = max(1, math.ceil(steps / max(1, n // batch_size)))
        return self.model_copy(update={"epochs": epochs, "batch_size": batch_size})

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`ImageModelEstimator.check`; one number where there are no classes.

        Raises:
            InputError: also images that do not fit the setting.
        """
        counts = check_images(images, labels)
        shape = tuple(images.shape[1:])
        fitting = [name for name, each in SETTINGS.items() if each.architecture.shape == shape]
        if fitting and self.setting not in fitting:
            raise InputError(
                f"images of shape {tuple(images.shape)} were given, expected "
                f"{SETTINGS[self.setting].architecture.shape} of the setting {self.setting}: set "
                f"samplers.dvp_vae.setting to {' or '.join(fitting)}"
            )
        setting = self._of(len(counts))
        check_size(images, setting.architecture, setting.training)
        return counts if self.conditional else counts.sum()[None]

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> DVPVAEGenerator:
        """See :meth:`ImageModelEstimator.fit`."""
        return self.train(images, labels, seed=seed, device=device, checkpoint=checkpoint)[0]

    def train(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        look: Callable[[DVPVAE], Any] | None = None,
    ) -> tuple[DVPVAEGenerator, list[Row]]:
        """:meth:`fit`, with a row per epoch.

        Args:
            images, labels, seed, device, checkpoint: as in :meth:`ImageModelEstimator.fit`.
            look: see :func:`hvrt_diffuser.image_models.dvp_vae.train`, as the rows.
        """
        counts = self.check(images, labels)
        setting = self._of(len(counts))
        network, history = train(
            images,
            setting.architecture,
            setting.training,
            labels=labels if self.conditional else None,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            chosen={"setting": self.setting, "conditional": self.conditional},
            look=look,
        )
        network, counts = network.to(device), counts.to(device)
        return DVPVAEGenerator(network, counts, setting.steps, self.origin(seed)), history

    def bound(
        self, model: DVPVAEGenerator, images: Tensor, labels: Tensor, seed: int
    ) -> float | None:
        """See :meth:`ImageModelEstimator.bound`; None for colour."""
        if images.shape[1] != 1:
            return None
        source = generator(seed, "rivals", "posterior", device=model.device)
        pixels = binary_images(images).to(model.device)
        return bounds(model.network, pixels, source=source, labels=labels).elbo

    @property
    def _training(self) -> TrainingOptions:
        names = {"epochs", "batch_size", "learning_rate"}
        own = self.model_dump(include=names, exclude_none=True)
        return SETTINGS[self.setting].training.model_copy(update=own)

    def _of(self, classes: int) -> Setting:
        """The setting with what was chosen in its place, of so many classes if of any."""
        setting = SETTINGS[self.setting]
        architecture = replace(
            setting.architecture,
            classes=classes if self.conditional else 0,
            pseudoinput=self.pseudoinput,
            pseudoinput_size=self.pseudoinput_size or setting.architecture.pseudoinput_size,
            pseudoinput_prior=self.pseudoinput_prior,
            aggregation=self.aggregation,
        )
        return Setting(architecture, self._training, setting.steps)

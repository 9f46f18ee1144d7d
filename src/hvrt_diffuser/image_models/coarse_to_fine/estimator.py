"""How codes are fitted, and the network of detail trained on what they started from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import BatchSize, Factor, LatentDim, LearningRate, Steps, Width
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import borrowed_seed, derive_seed, generator
from hvrt_diffuser.data.augmentation import Mirrored, mirrors
from hvrt_diffuser.image_models.coarse_to_fine.energy import energy_score, scales
from hvrt_diffuser.image_models.coarse_to_fine.model import Coarse, CoarseToFine, moved
from hvrt_diffuser.image_models.coarse_to_fine.network import DetailNetwork, block_unit
from hvrt_diffuser.image_models.coarse_to_fine.perception import PATCH, Perception
from hvrt_diffuser.image_models.protocol import ImageModelEstimator, check_images, hash_images
from hvrt_diffuser.samplers import HVRTEstimator, LatentSampler
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.steps import optimise

__all__ = ["CoarseToFineEstimator"]

AT_ONCE = 1024  # images that are encoded together
FARTHEST = 1.75  # strengths of training are from 0 to this
SMOOTHING = 0.1  # of the labels that the perception is trained by
PERCEIVED = 128  # images per step of it
FOR_UNITS = 512  # images of which patches and distances are measured


@SAMPLERS.register("coarse_to_fine")
class CoarseToFineEstimator(ImageModelEstimator):
    """How codes are drawn, and the network of detail trained."""

    what: ClassVar[str] = "a coarse code by a latent sampler, and detail by a network in one pass"
    drawing: ClassVar[frozenset[str]] = frozenset({"strength"})

    codes: str = Field("hvrt", description="latent sampler of the codes, by its name")
    latent_dim: LatentDim = Field(128, description="numbers of a code: principal components")
    strength: Factor = Field(
        1.0, description="how far codes go from their rows in draws, 1 is as the sampler has it"
    )
    width: Width = Field(
        64, ge=32, multiple_of=32, description="channels of the network at half the image's size"
    )
    training_steps: Steps = Field(3000, description="optimiser steps of the network of detail")
    perception_steps: Steps = Field(1500, description="and of the classifier that the loss is of")
    batch_size: BatchSize = Field(64, ge=2, description="images per step")
    learning_rate: LearningRate = Field(1e-3, description="peak rate of AdamW, one cycle")
    mirrored: Mirrored = Field(
        "auto", description="half the images of a training, mirrored; auto: colour images alone"
    )
    precision: Precision = Field("auto", description="in training; draws are float32")

    @field_validator("codes")
    @classmethod
    def _draws_latents(cls, name: str) -> str:
        if SAMPLERS.find(name).kind != "latents":
            raise ValueError(f"{name} draws images, expected a sampler of latents, such as hvrt")
        return name

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.check`."""
        counts = check_images(images, labels)
        n, c, h, w = images.shape
        unit = max(block_unit(h, w), PATCH)
        if c not in (1, 3) or h % unit or w % unit:
            raise InputError(
                f"images of {c} channels and {h}x{w} pixels were given, expected 1 or 3 channels "
                f"and sides that are multiples of {unit}: set dataset.resize"
            )
        Coarse.check(n, self.latent_dim)
        return counts

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> CoarseToFine:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.fit`.

        Pairs to train on are codes and the images of the rows that they started from, of codes
        from none to 1.75 times as far as the sampler goes. Codes of a sampler that starts from no
        row are met by a network that was trained on those of HVRT. A checkpoint of the
        classifier's training lies beside the given one.
        """
        counts = self.check(images, labels)
        # By class, as the latents of a sampler are, whose rows are told.
        order = torch.argsort(labels, stable=True)
        images, labels = images[order], labels[order]
        coarse = Coarse(images.shape[1:], self.latent_dim)
        rows = images.flatten(1).cpu().float() / 255
        coarse.fit_rows(rows, derive_seed(seed, "coarse to fine", "components") % 2**32)
        coarse = coarse.to(device).requires_grad_(False).eval()
        latents = torch.cat([coarse.encode(x.to(device)) for x in images.split(AT_ONCE)])
        codes = SAMPLERS.make(self.codes).fit(latents, labels.to(device), seed=seed)
        near = _draws_from_rows(codes, latents, labels.to(device), seed)
        images, labels = images.to(device), labels.to(device)
        perception = self._perception(images, labels, len(counts), seed, checkpoint)
        network = self._network(images, labels, latents, coarse, near, perception, seed, checkpoint)
        return CoarseToFine(coarse, codes, network, self.strength, self.origin(seed))

    def adapt(self, fitted: CoarseToFine) -> CoarseToFine:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.adapt`: of another strength."""
        origin = self.origin(fitted.origin["seed"])
        return replace(fitted, strength=self.strength, origin=origin)

    def _setting(self, images: Tensor, labels: Tensor, seed: int) -> dict[str, Any]:
        options = self.model_dump(mode="json", exclude={"strength", "codes"})
        return {**options, "seed": seed, "images": hash_images(images, labels)}

    def _mirror(self, x: Tensor, source: torch.Generator) -> Tensor:
        """Where to mirror, bool (n, 1, 1, 1)."""
        chosen = torch.rand(len(x), generator=source, device=x.device) < 0.5
        return (chosen & mirrors(self.mirrored, x.shape[1]))[:, None, None, None]

    def _some(self, images: Tensor, seed: int) -> Tensor:
        """Images to take scales from."""
        order = torch.randperm(len(images), generator=generator(seed, "coarse to fine", "units"))
        return images[order[:FOR_UNITS].to(images.device)]

    def _perception(
        self,
        images: Tensor,
        labels: Tensor,
        n_classes: int,
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> Perception:
        device = images.device
        with borrowed_seed(seed, "coarse to fine", "perception"):
            network = Perception(images.shape[1], n_classes).to(device)
        network.look_at(self._some(images, seed))

        def loss(model: Perception, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(images), (PERCEIVED,), generator=source, device=device)
            x = images[rows].float() / 255
            x = torch.where(self._mirror(x, source), x.flip(3), x)
            logits = model(x)[1].float()
            return F.cross_entropy(logits, labels[rows], label_smoothing=SMOOTHING)

        return optimise(
            network,
            loss,
            generator(seed, "coarse to fine", "perceived", device=device),
            name="training what the loss sees",
            steps=self.perception_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
            checkpoint=checkpoint and checkpoint.of_part("perception"),
            setting=self._setting(images, labels, seed),
        )

    def _network(
        self,
        images: Tensor,
        labels: Tensor,
        latents: Tensor,
        coarse: Coarse,
        near: LatentSampler,
        perception: Perception,
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> DetailNetwork:
        device = images.device
        with borrowed_seed(seed, "coarse to fine", "detail"):
            network = DetailNetwork(images.shape[1:], near.n_classes, self.width).to(device)
        with torch.no_grad():
            units = scales(perception(self._some(images, seed).float() / 255)[0])

        def loss(model: Any, source: torch.Generator) -> Tensor:
            drawn = near.draw(self.batch_size, generator=source)
            strength = FARTHEST * torch.rand(self.batch_size, generator=source, device=device)
            blurred = coarse.decode(moved(drawn, latents, strength)).float()
            x = images[drawn.rows].float() / 255
            mirror = self._mirror(x, source)
            x, blurred = (torch.where(mirror, y.flip(3), y) for y in (x, blurred))
            # Two draws of each, at once.
            twice = model(
                blurred.repeat(2, 1, 1, 1), drawn.labels.repeat(2), strength.repeat(2), source
            )
            one, other = zip(*(y.chunk(2) for y in perception(twice)[0]), strict=True)
            with torch.no_grad():
                real = perception(x)[0]
            return energy_score(one, other, real, units)

        return optimise(
            network,
            loss,
            generator(seed, "coarse to fine", "batches", device=device),
            name="training the network of detail",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
            checkpoint=checkpoint,
            setting={**self._setting(images, labels, seed), "codes": near.origin["sampler"]},
        )


def _draws_from_rows(
    codes: LatentSampler, latents: Tensor, labels: Tensor, seed: int
) -> LatentSampler:
    """The sampler, or HVRT where its draws start from no rows."""
    source = generator(seed, "coarse to fine", "trial", device=latents.device)
    if codes.draw(1, generator=source).rows is not None:
        return codes
    return HVRTEstimator().fit(latents, labels, seed=seed)

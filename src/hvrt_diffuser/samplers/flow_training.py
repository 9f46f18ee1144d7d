"""How a latent flow is trained.

Flow matching on straight paths (Lipman et al. 2023, arXiv 2210.02747): with a latent z, noise e and
x = (1 - t) e + t z, the network u regresses z - e on x, t and the class, and dx/dt = u carries
N(0, I) to the latents.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.common.bounds import (
    BatchSize,
    Layers,
    LearningRate,
    Share,
    SolverSteps,
    Steps,
    Width,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.flow import LatentFlow, flow_source
from hvrt_diffuser.samplers.protocol import (
    SamplerEstimator,
    by_class,
    check_latents,
)
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.velocity import VelocityField
from hvrt_diffuser.training.steps import Losses, optimise

__all__ = ["FlowEstimator"]


@SAMPLERS.register("latent_flow")
class FlowEstimator(SamplerEstimator):
    """How a latent flow is trained and drawn from."""

    what: ClassVar[str] = "a flow of latents by flow matching, drawn by Heun's method"
    network: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset({"augmented"})
    drawing: ClassVar[frozenset[str]] = frozenset({"strength", "solver_steps"})

    width: Width = Field(384, description="of the hidden layers")
    blocks: Layers = Field(4, ge=1, description="residual blocks of two layers")
    training_steps: Steps = Field(3000, description="optimiser steps of flow matching")
    batch_size: BatchSize = Field(1024, description="latents per step")
    learning_rate: LearningRate = Field(2e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "auto", description="of the matrix products in training; draws are float32"
    )
    solver_steps: SolverSteps = Field(
        8, description="of Heun's method; s steps evaluate the network 2 s - 1 times"
    )
    strength: Share = Field(
        1.0,
        gt=0,
        description="share of the way from noise: 1 starts from noise; below, draws start from "
        "training latents with as much noise, and the fewer the more they are copies",
    )

    def fit(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
    ) -> LatentFlow:
        """Train a flow on latents in units of their deviation, all classes in one network.

        Args:
            latents: float32 or float64 (n, d), on the device to train and draw on.
            labels: int64 (n,), every class from 0 to k - 1; None makes one class of all latents.
            seed: of weights, batches, times and noise.
            augmented: (c, n, d), the latents of c augmented versions of each image. Below strength
                1 draws start from them as often as from each training latent; the flow is trained
                without them, so that what it carries them to is still the real distribution.

        Raises:
            InputError: NaN or infinite latents, labels that do not fit them, or augmented latents
                that do not fit them or cannot be started from.
            FloatingPointError: the loss became infinite or NaN.
        """
        self._check(latents, labels, augmented)
        ordered, own, counts = by_class(latents, labels)
        scale = Scale.of(ordered)
        field = self._train(scale.enter(ordered), own, len(counts), seed)
        return self._flow(field, scale, (latents, labels, augmented), self.origin(seed))

    def adapt(
        self,
        fitted: LatentFlow,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
    ) -> LatentFlow:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.adapt`; nothing is trained."""
        self._check(latents, labels, augmented)
        origin = {**fitted.origin, **self.origin(fitted.origin["seed"])}
        return self._flow(fitted.field, fitted.scale, (latents, labels, augmented), origin)

    def _check(self, latents: Tensor, labels: Tensor | None, augmented: Tensor | None) -> None:
        check_latents(latents, labels)
        if augmented is None:
            return
        if self.strength == 1:
            raise InputError(
                "latents of augmented images were given to a flow of strength 1, which starts from "
                "noise: lower its strength, or leave them out"
            )
        if augmented.ndim != 3 or augmented.shape[1:] != latents.shape:
            raise InputError(
                f"augmented latents of shape {tuple(augmented.shape)} were given beside latents of "
                f"shape {tuple(latents.shape)}, expected (c, n, d) and (n, d): give c versions of "
                "each latent, in their order"
            )
        if not torch.isfinite(augmented).all():
            raise InputError(
                "augmented latents hold NaN or infinite values, expected finite ones: encode again"
            )

    def _flow(
        self,
        field: VelocityField,
        scale: Scale,
        starts: tuple[Tensor, Tensor | None, Tensor | None],
        origin: dict[str, Any],
    ) -> LatentFlow:
        """The sampler; ``starts`` are latents, their labels, and augmented latents."""
        latents, labels, augmented = starts
        labels = check_latents(latents, labels)
        versions = 1 if augmented is None else 1 + len(augmented)
        if augmented is not None:
            every = torch.cat([latents[None], augmented.to(latents)])  # (versions, n, d)
            latents = every.transpose(0, 1).flatten(0, 1)  # versions of a latent side by side
            labels = labels.repeat_interleave(versions)
        latents, _, counts = by_class(latents, labels)
        origin = {**origin, "versions": versions}
        source = flow_source(scale.enter(latents), counts, self.strength)
        return LatentFlow(source, field, scale, self.strength, self._steps, versions, origin)

    @property
    def _steps(self) -> int:
        return self.solver_steps

    def _train(self, x: Tensor, labels: Tensor, n_classes: int, seed: int) -> VelocityField:
        # torch's initialisers draw from the global generator: borrow it, and give it back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "flow", "weights"))
            field = VelocityField(x.shape[1], n_classes, self.width, self.blocks).to(x.device)

        def losses(model: VelocityField, source: torch.Generator) -> Tensor:
            """Flow matching; times are logit-normal (Esser et al. 2024, arXiv 2403.03206)."""
            m = self.batch_size
            rows = torch.randint(len(x), (m,), generator=source, device=x.device)
            t = torch.randn(m, generator=source, device=x.device).sigmoid_()
            noise = torch.randn(m, x.shape[1], generator=source, device=x.device)
            z = x[rows]  # (m, d)
            velocity = model(torch.lerp(noise, z, t[:, None]), t, labels[rows])
            return (velocity.float() - (z - noise)).square_().mean()

        return self._optimise(field, losses, self.training_steps, "training the flow", seed)

    def _optimise(
        self, field: VelocityField, losses: Losses[VelocityField], steps: int, name: str, seed: int
    ) -> VelocityField:
        source = generator(seed, "flow", name, device=field.frequencies.device)
        return optimise(
            field,
            losses,
            source,
            name=name,
            steps=steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )

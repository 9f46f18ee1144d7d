"""A normalising flow of latents by causal transformers, after TarFlow and STARFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Components, Layers, Share, Steps, Width
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.causal_transformer import TransformerFlow
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.trained import TrainedEstimator

__all__ = ["LatentTransformerFlow", "TransformerFlowEstimator"]


@dataclass(frozen=True)
class LatentTransformerFlow(CarriedNoise):
    """Draws N(0, I), and carries it through the inverse of the flow."""

    network: TransformerFlow

    form: ClassVar[str] = "transformer flow"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`."""
        return self.latent_dim

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        return self.network.inverse(noise, labels)


@SAMPLERS.register("transformer_flow")
class TransformerFlowEstimator(TrainedEstimator):
    """How a transformer flow is trained, by maximum likelihood.

    TarFlow (Zhai et al. 2025, arXiv 2412.06329) on latents, as STARFlow (Gu et al. 2025, arXiv
    2506.06276) has it. A latent here is flat: its tokens are groups of its dimensions. There is
    no guidance, no deep first transformation as in STARFlow, and the little noise of training is
    left in the draws, which TarFlow takes out by another evaluation.
    """

    what: ClassVar[str] = "an autoregressive flow by causal transformers (TarFlow, STARFlow)"

    width: Width = Field(32, description="of the transformers' tokens")
    training_steps: Steps = Field(1000, description="optimiser steps")
    tokens: Components = Field(4, description="parts that a latent is cut into, in turn")
    transforms: Layers = Field(4, ge=1, description="affine transformations, alternating in order")
    layers: Layers = Field(1, ge=1, description="of each causal transformer")
    heads: Components = Field(2, description="of its attention; divide the width")
    noise: Share = Field(
        0.05, description="added to latents in training, in their deviations; draws have it, too"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"width is {self.width}, expected a multiple of {self.heads} heads: change one"
            )
        return self

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> LatentTransformerFlow:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)
        # A dimension that does not vary has no density: without noise the loss has no bound.
        added = torch.where(scale.deviation > 0, self.noise, 1.0).to(x)

        def build() -> TransformerFlow:
            return TransformerFlow(
                x.shape[1],
                len(counts),
                self.tokens,
                self.transforms,
                self.layers,
                self.width,
                self.heads,
            )

        def loss(model: TransformerFlow, rows: Tensor, source: torch.Generator) -> Tensor:
            noise = torch.randn(len(rows), x.shape[1], generator=source, device=x.device)
            return -model.log_density(x[rows] + added * noise, labels[rows]).mean()

        network = self._train("transformer flow", build, loss, x, seed)
        return LatentTransformerFlow(counts, network, scale, self.origin(seed))

"""Normalising flows, by zuko: masked autoregressive flows and neural spline flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.training.steps import optimise

__all__ = ["LatentNormalisingFlow", "NormalisingFlowEstimator"]


class LatentNormalisingFlow(CarriedNoise):
    """Draws N(0, I), and carries it through the inverse of an autoregressive flow of zuko."""

    form: ClassVar[str] = "normalising flow"

    @staticmethod
    def new_network(size: Mapping[str, Any]) -> nn.Module:
        """See :meth:`CarriedNoise.new_network`."""
        try:
            from zuko.flows import MAF, NSF
        except ImportError as error:
            raise InputError(
                "zuko is not installed, expected it for a normalising flow: "
                "pip install 'hvrt-diffuser[rivals]'"
            ) from error
        architecture = {"masked_autoregressive": MAF, "neural_spline": NSF}[size["architecture"]]
        network: nn.Module = architecture(
            size["latent_dim"],
            context=size["n_classes"],
            transforms=size["transforms"],
            hidden_features=(size["width"], size["width"]),
        )
        return network

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`."""
        return self.latent_dim

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        context = F.one_hot(labels, self.n_classes).float()
        carried: Tensor = self.network(context).transform.inv(noise)
        return carried


class NormalisingFlowEstimator(BaseModel):
    """How a normalising flow is trained, by maximum likelihood.

    Papamakarios et al. 2017 (arXiv 1705.07057); Durkan et al. 2019 (arXiv 1906.04032). A spline
    leaves alone what is farther than 5 deviations from the mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["masked_autoregressive", "neural_spline"] = Field(
        "neural_spline", description="of each transformation of a dimension given those before it"
    )
    transforms: int = Field(5, ge=1, description="autoregressive transformations")
    width: int = Field(256, ge=1, description="of two hidden layers in each")
    training_steps: int = Field(4000, ge=1, description="optimiser steps")
    batch_size: int = Field(512, ge=1, description="latents per step")
    learning_rate: float = Field(1e-3, gt=0, description="peak rate of AdamW, one cycle")

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> LatentNormalisingFlow:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            InputError: also a missing zuko.
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        x = scale.enter(z)
        # A dimension that does not vary has no density: without noise the loss has no bound.
        flat = (scale.deviation == 0).float()
        size = {
            "latent_dim": z.shape[1],
            "n_classes": len(counts),
            "architecture": self.architecture,
            "transforms": self.transforms,
            "width": self.width,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "normalising flow", "weights"))
            network = LatentNormalisingFlow.new_network(size).to(z.device)

        def losses(model: nn.Module, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (self.batch_size,), generator=source, device=x.device)
            noise = torch.randn(len(rows), x.shape[1], generator=source, device=x.device)
            context = F.one_hot(labels[rows], len(counts)).float()
            density = model(context)
            return -density.log_prob(x[rows] + flat * noise).mean()

        network = optimise(
            network,
            losses,
            generator(seed, "normalising flow", "batches", device=z.device),
            name="training the normalising flow",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision="float32",
        )
        origin = {"sampler": "normalising flow", **self.model_dump(), "seed": seed}
        return LatentNormalisingFlow(counts, network, size, scale, origin)

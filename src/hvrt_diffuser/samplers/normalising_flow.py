"""Normalising flows, by zuko: masked autoregressive flows and neural spline flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import BatchSize, Layers, LearningRate, Steps, Width
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.carried_noise import CarriedNoise
from hvrt_diffuser.samplers.protocol import SamplerEstimator, by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.training.steps import optimise

__all__ = ["LatentNormalisingFlow", "NormalisingFlowEstimator"]


class _Network(nn.Module):
    """An autoregressive flow of zuko, given the class."""

    def __init__(
        self, latent_dim: int, n_classes: int, architecture: str, transforms: int, width: int
    ) -> None:
        super().__init__()
        self.size: dict[str, Any] = {
            "latent_dim": latent_dim,
            "n_classes": n_classes,
            "architecture": architecture,
            "transforms": transforms,
            "width": width,
        }
        try:
            from zuko.flows import MAF, NSF
        except ImportError as error:
            raise InputError(
                "zuko is not installed, expected it for a normalising flow: "
                "pip install 'hvrt-diffuser[rivals]'"
            ) from error
        flow = {"masked_autoregressive": MAF, "neural_spline": NSF}[architecture]
        self.flow: Any = flow(
            latent_dim,
            context=n_classes,
            transforms=transforms,
            hidden_features=(width, width),
        )

    def forward(self, labels: Tensor) -> Any:
        """The distribution of zuko for each of labels int64 (n,)."""
        return self.flow(F.one_hot(labels, self.size["n_classes"]).float())


@dataclass(frozen=True)
class LatentNormalisingFlow(CarriedNoise):
    """Draws N(0, I), and carries it through the inverse of the flow."""

    network: _Network

    form: ClassVar[str] = "normalising flow"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedNoise.noise_dim`."""
        return self.latent_dim

    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedNoise.carry`."""
        carried: Tensor = self.network(labels).transform.inv(noise)
        return carried


@SAMPLERS.register("neural_spline_flow")
class NormalisingFlowEstimator(SamplerEstimator):
    """How a normalising flow is trained, by maximum likelihood.

    Papamakarios et al. 2017 (arXiv 1705.07057); Durkan et al. 2019 (arXiv 1906.04032). A spline
    leaves alone what is farther than 5 deviations from the mean.
    """

    what: ClassVar[str] = "an autoregressive flow of splines, by zuko"
    network: ClassVar[bool] = True

    architecture: Literal["masked_autoregressive", "neural_spline"] = Field(
        "neural_spline", description="of each transformation of a dimension given those before it"
    )
    transforms: Layers = Field(5, ge=1, description="autoregressive transformations")
    width: Width = Field(256, description="of two hidden layers in each")
    training_steps: Steps = Field(4000, description="optimiser steps")
    batch_size: BatchSize = Field(512, description="latents per step")
    learning_rate: LearningRate = Field(1e-3, description="peak rate of AdamW, one cycle")

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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "normalising flow", "weights"))
            network = _Network(
                z.shape[1], len(counts), self.architecture, self.transforms, self.width
            ).to(z.device)

        def losses(model: _Network, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (self.batch_size,), generator=source, device=x.device)
            noise = torch.randn(len(rows), x.shape[1], generator=source, device=x.device)
            return -model(labels[rows]).log_prob(x[rows] + flat * noise).mean()

        network = optimise(
            network,
            losses,
            generator(seed, "normalising flow", "batches", device=z.device),
            name="training the normalising flow",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision="float32",
        )
        return LatentNormalisingFlow(counts, network, scale, self.origin(seed))


SAMPLERS.add_variant(
    "masked_autoregressive_flow",
    NormalisingFlowEstimator,
    "an autoregressive flow of shifts and scales, by zuko",
    architecture="masked_autoregressive",
)

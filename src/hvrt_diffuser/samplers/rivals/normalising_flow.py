"""Normalising flows, by zuko: masked autoregressive flows and neural spline flows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.files import tensors_below, write_tensors
from hvrt_diffuser.samplers.baselines import StandardNormal
from hvrt_diffuser.samplers.bootstrap import KIND
from hvrt_diffuser.samplers.optimisation import optimise
from hvrt_diffuser.samplers.protocol import Draws, by_class
from hvrt_diffuser.samplers.rows import Scale, in_chunks
from hvrt_diffuser.seeding import derive_seed, generator

__all__ = ["LatentNormalisingFlow", "NormalisingFlowEstimator"]


def _network(size: Mapping[str, Any]) -> nn.Module:
    """A flow of zuko, conditioned on the class."""
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


@dataclass(frozen=True)
class LatentNormalisingFlow:
    """Draws N(0, I), and carries it through the inverse of an autoregressive flow.

    Attributes:
        source: N(0, I) and the classes.
        network: of zuko, conditioned on the class.
        size: what rebuilds the network.
        scale: its units.
        origin: what it was fitted by and on, kept in the file's header.
    """

    source: StandardNormal
    network: Any
    size: dict[str, Any]
    scale: Scale
    origin: dict[str, Any]

    form: ClassVar[str] = "normalising flow"

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.source.latent_dim

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.source.n_classes

    @property
    def counts(self) -> Tensor:
        """int64 (k,), the number of latents of each class that it was fitted on."""
        return self.source.counts

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.source.device

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.sample`."""
        latents, labels, _ = self.draw(n, labels, generator=generator)
        return latents, labels

    @torch.no_grad()
    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`; no draw starts from a latent."""
        noise, labels, _ = self.source.draw(n, labels, generator=generator)

        def arrive(noise: Tensor, labels: Tensor) -> Tensor:
            context = F.one_hot(labels, self.n_classes).float()
            return self.scale.leave(self.network(context).transform.inv(noise))

        return Draws(in_chunks(arrive, noise, labels), labels, None)

    def to(self, device: torch.device | str) -> LatentNormalisingFlow:
        """The same sampler with its network on another device."""
        return replace(
            self,
            source=self.source.to(device),
            network=copy.deepcopy(self.network).to(device),
            scale=self.scale.to(device),
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, *self.packed())

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header."""
        weights = self.network.state_dict()
        tensors = {f"network.{name}": tensor.contiguous() for name, tensor in weights.items()}
        tensors |= {"mean": self.scale.mean, "deviation": self.scale.deviation}
        tensors |= {"counts": self.counts}
        header = {"kind": KIND, "form": self.form, "size": self.size, "origin": self.origin}
        return tensors, header

    @classmethod
    def build(
        cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
    ) -> LatentNormalisingFlow:
        """The opposite of :meth:`packed`."""
        size = header["size"]
        network = _network(size)
        own = tensors_below(tensors, "network.")
        network.load_state_dict({name: own[name] for name in network.state_dict()})
        return cls(
            StandardNormal(size["latent_dim"], tensors["counts"]),
            network.requires_grad_(False).eval(),
            size,
            Scale(tensors["mean"], tensors["deviation"]),
            header["origin"],
        )


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
            network = _network(size).to(z.device)

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
        source = StandardNormal(z.shape[1], counts)
        return LatentNormalisingFlow(source, network, size, scale, origin)

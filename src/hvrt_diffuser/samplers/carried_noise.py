"""Samplers that draw noise, and carry it to the latents by a network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from hvrt_diffuser.common.files import tensors_below, write_tensors
from hvrt_diffuser.samplers.baselines import StandardNormal
from hvrt_diffuser.samplers.bootstrap import KIND
from hvrt_diffuser.samplers.protocol import Draws
from hvrt_diffuser.samplers.rows import Scale, in_chunks

__all__ = ["CarriedNoise"]


@dataclass(frozen=True)
class CarriedNoise(ABC):
    """Draws N(0, I) and the classes, and carries the noise of each row to a latent of its class.

    Attributes:
        counts: int64 (k,), the number of latents of each class that it was fitted on.
        network: in evaluation mode.
        size: what rebuilds the network, and says how it is drawn from; JSON.
        scale: its units.
        origin: what it was fitted by and on, kept in the file's header.
    """

    counts: Tensor
    network: Any
    size: dict[str, Any]
    scale: Scale
    origin: dict[str, Any]

    form: ClassVar[str]

    @staticmethod
    @abstractmethod
    def new_network(size: Mapping[str, Any]) -> nn.Module:
        """A network of a size, with weights of torch's global generator."""

    @property
    @abstractmethod
    def noise_dim(self) -> int:
        """Normal numbers that a draw takes, all at once: it does not depend on those beside it."""

    @abstractmethod
    def carry(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Latents (n, d), in units of the scale, for noise (n, noise_dim) and labels int64 (n,)."""

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return len(self.scale.mean)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.counts.device

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.sample`."""
        latents, labels, _ = self.draw(n, labels, generator=generator)
        return latents, labels

    @torch.no_grad()
    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`; no draw starts from a latent."""
        source = StandardNormal(self.noise_dim, self.counts)
        noise, labels, _ = source.draw(n, labels, generator=generator)

        def arrive(noise: Tensor, labels: Tensor) -> Tensor:
            return self.scale.leave(self.carry(noise, labels))

        return Draws(in_chunks(arrive, noise, labels), labels, None)

    def to(self, device: torch.device | str) -> Self:
        """The same sampler with its network on another device."""
        return replace(
            self,
            counts=self.counts.to(device),
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
    def build(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """The opposite of :meth:`packed`."""
        network = cls.new_network(header["size"])
        own = tensors_below(tensors, "network.")
        network.load_state_dict({name: own[name] for name in network.state_dict()})
        return cls(
            tensors["counts"],
            network.requires_grad_(False).eval(),
            header["size"],
            Scale(tensors["mean"], tensors["deviation"]),
            header["origin"],
        )

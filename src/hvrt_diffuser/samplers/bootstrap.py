"""The smoothed bootstrap: a training latent, plus noise on the scale of its neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.files import read_tensors, write_tensors
from hvrt_diffuser.samplers.protocol import check_requested_labels

__all__ = ["Neighbourhoods", "SmoothedBootstrap", "uniform_to_epanechnikov", "uniform_to_normal"]

KIND = "latent sampler"
NOTICE = "contains the latents of the training images, from which they can be decoded"


class Neighbourhoods(NamedTuple):
    """A partition of the training latents, with a noise scale for each part.

    Attributes:
        leaf: int64 (n,), the part that each latent lies in.
        scale: float32 (k, d), the factor on the kernel's noise in each part and dimension.
    """

    leaf: Tensor
    scale: Tensor


def uniform_to_epanechnikov(u: Tensor) -> Tensor:
    """The inverse distribution function of the kernel 3/4 (1 - x^2) on [-1, 1]; variance 1/5.

    The cubic x^3 - 3x + 4u - 2 = 0 has one root in [-1, 1], in closed form.
    """
    return 2 * torch.sin(torch.asin(2 * u - 1) / 3)


def uniform_to_normal(u: Tensor) -> Tensor:
    """The inverse distribution function of N(0, 1), for float32 uniforms in [0, 1)."""
    return torch.special.ndtri(u.double() + 2**-25).float()  # a multiple of 2^-24, never 0 or 1


KERNELS = {"epanechnikov": uniform_to_epanechnikov, "normal": uniform_to_normal}
Kernel = Literal["epanechnikov", "normal"]


@dataclass(frozen=True)
class SmoothedBootstrap:
    """Draws a training latent uniformly and adds kernel noise on the scale of its neighbourhood.

    A leaf drawn by its size and then a row of the leaf is a uniform draw over rows, so neither a
    tree nor a loop over leaves is needed. A draw keeps the label of its row.

    Attributes:
        latents: float32 (n, d), ordered by class.
        counts: int64 (k,), rows of each class.
        overall: the neighbourhoods that draws without a given label use.
        per_class: the neighbourhoods that draws of a given label use; no part spans two classes.
        kernel: shape of the noise.
        origin: what it was fitted by and on, kept in the file's header.
    """

    latents: Tensor
    counts: Tensor
    overall: Neighbourhoods
    per_class: Neighbourhoods
    kernel: Kernel
    origin: dict[str, Any]

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.latents.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def labels(self) -> Tensor:
        """int64 (n,), the class of each training latent."""
        return torch.arange(self.n_classes).repeat_interleave(self.counts)

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.sample`."""
        check_requested_labels(n, labels, self.n_classes)
        u = torch.rand(n, 2 + self.latent_dim, generator=generator)  # (n, 2 + d)
        # One float32 uniform has 24 bits, too few to choose evenly among a million rows.
        place = u[:, 0].double() + u[:, 1].double() * 2**-24
        if labels is None:
            row = (place * len(self.latents)).long()
            leaf, scale = self.overall
            labels = self.labels[row]
        else:
            first = self.counts.cumsum(0) - self.counts
            row = first[labels] + (place * self.counts[labels]).long()
            leaf, scale = self.per_class
        noise = KERNELS[self.kernel](u[:, 2:])
        return torch.addcmul(self.latents[row], scale[leaf[row]], noise), labels

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; it contains the training latents, and its header says so."""
        header = {"kind": KIND, "kernel": self.kernel, "origin": self.origin, "notice": NOTICE}
        tensors = {
            "latents": self.latents,
            "counts": self.counts,
            "overall.leaf": self.overall.leaf,
            "overall.scale": self.overall.scale,
            "per_class.leaf": self.per_class.leaf,
            "per_class.scale": self.per_class.scale,
        }
        # One scale per row would be shared memory, which safetensors refuses to write twice.
        write_tensors(path, {k: v.clone() for k, v in tensors.items()}, header)

    @classmethod
    def load(cls, path: str | Path) -> SmoothedBootstrap:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, cut short, or of another kind or version.
        """
        tensors, header = read_tensors(path, KIND)
        try:
            return cls(
                tensors["latents"],
                tensors["counts"],
                Neighbourhoods(tensors["overall.leaf"], tensors["overall.scale"]),
                Neighbourhoods(tensors["per_class.leaf"], tensors["per_class.scale"]),
                header["kernel"],
                header["origin"],
            )
        except KeyError as error:
            raise InputError(
                f"{path} lacks {error}, expected a latent sampler of this version: "
                "fit it again with this version"
            ) from error

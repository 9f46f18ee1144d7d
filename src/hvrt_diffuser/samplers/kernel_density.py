"""Kernel density estimation with one bandwidth a class: a smoothed bootstrap without a tree."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from sklearn.neighbors import KernelDensity
from torch import Tensor

from hvrt_diffuser.common.bounds import Count
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import ProductKernel
from hvrt_diffuser.samplers.protocol import SamplerEstimator, by_class
from hvrt_diffuser.samplers.rows import Scale

__all__ = ["KernelDensityEstimator"]

BANDWIDTHS = tuple(round(10 ** (i / 8 - 2), 4) for i in range(17))  # .01 to 1, in eighths


@SAMPLERS.register("kernel_density")
class KernelDensityEstimator(SamplerEstimator):
    """A normal kernel on every training latent, of the width that makes fresh latents likeliest.

    Each class has its own, in units of its deviation. The likelihood is scikit-learn's; the draws
    are those of a smoothed bootstrap.
    """

    what: ClassVar[str] = "a normal kernel of the likeliest width on each latent, by scikit-learn"

    held_out: Count = Field(
        500, description="latents of a class, at most, whose likelihood chooses the width"
    )

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> SmoothedBootstrap:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`; the seed does not matter.

        Raises:
            InputError: also a class of a single latent.
        """
        z, labels, counts = by_class(latents, labels)
        if int(counts.min()) < 2:
            raise InputError(
                f"class {int(counts.argmin())} has 1 latent, expected at least 2 to choose a "
                "bandwidth: add images"
            )
        bandwidths, widths = [], []
        for own in z.split(counts.tolist()):
            scale = Scale.of(own)
            bandwidths.append(self._bandwidth(scale.enter(own).double().cpu()))
            widths.append(bandwidths[-1] * scale.deviation)
        kernel = ProductKernel(torch.stack(widths), "normal")
        classes = Neighbourhoods(labels[None], kernel)
        origin = {**self.origin(seed), "bandwidths": bandwidths}
        return SmoothedBootstrap(z, counts, classes, classes, origin)

    def _bandwidth(self, x: Tensor) -> float:
        """The likeliest of :data:`BANDWIDTHS`, in units of the latents' deviation."""
        order = torch.randperm(len(x), generator=generator(0, "kernel density", "held out"))
        held_out = max(1, min(self.held_out, len(x) // 5))
        fresh, seen = x[order[:held_out]].numpy(), x[order[held_out:]].numpy()
        # The logarithm of a sum is all that is asked for, so its tree need not be exact.
        scores = [KernelDensity(bandwidth=h, rtol=1e-4).fit(seen).score(fresh) for h in BANDWIDTHS]
        return BANDWIDTHS[scores.index(max(scores))]

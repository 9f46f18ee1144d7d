"""Between neighbours: SMOTE (Chawla et al. 2002, doi 10.1613/jair.953)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from hvrt_diffuser.common.bounds import Components
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.samplers.protocol import (
    Draws,
    LatentSampler,
    SamplerEstimator,
    by_class,
)
from hvrt_diffuser.samplers.randomness import choose_below, random_words, symmetric_uniform
from hvrt_diffuser.samplers.rows import choose_rows

__all__ = ["InterpolationEstimator", "LatentInterpolation", "nearest_of_class"]


@dataclass(frozen=True)
class LatentInterpolation(LatentSampler):
    """A training latent, and a uniform share of the way to one of its neighbours of its class.

    Attributes:
        latents: float32 or float64 (n, d), ordered by class.
        counts: int64 (k,), rows of each class.
        neighbours: int64 (n, m), the rows of the nearest latents of the same class.
        origin: what it was fitted by and on, kept in the file's header.
    """

    latents: Tensor
    counts: Tensor
    neighbours: Tensor
    origin: dict[str, Any]

    form: ClassVar[str] = "interpolation"

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.latents.shape[1]

    @property
    def keeps_latents(self) -> bool:
        """True: it draws from them."""
        return True

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`."""
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        words = random_words(n, 2, generator, self.device)
        rows, labels = choose_rows(words[:, 0], labels, self.counts)
        # The neighbour comes from the other half of the word that the row came from.
        which = choose_below(words[:, 0] >> 32, self.neighbours.shape[1])
        other = self.latents[self.neighbours[rows, which]]
        share = (symmetric_uniform(words[:, 1:], 1) + 1) / 2  # (n, 1)
        return Draws(torch.lerp(self.latents[rows], other, share.to(other.dtype)), labels, rows)


@SAMPLERS.register("interpolation")
class InterpolationEstimator(SamplerEstimator):
    """How neighbours are looked for."""

    what: ClassVar[str] = "SMOTE: between a latent and one of its neighbours"

    neighbours: Components = Field(5, description="nearest latents of the same class; SMOTE's own")

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> LatentInterpolation:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`; nothing is random.

        Raises:
            InputError: also a class with no more latents than neighbours.
        """
        z, _, counts = by_class(latents, labels)
        found = nearest_of_class(z, counts, self.neighbours)
        return LatentInterpolation(z, counts, found, self.origin(seed))


def nearest_of_class(z: Tensor, counts: Tensor, m: int) -> Tensor:
    """int64 (n, m), the rows of the nearest other latents of the class of each.

    Args:
        z: (n, d), ordered by class.
        counts: int64 (k,), of each class.
        m: how many.

    Raises:
        InputError: a class with no more latents than that.
    """
    if int(counts.min()) <= m:
        raise InputError(
            f"class {int(counts.argmin())} has {int(counts.min())} latents, expected more than "
            f"{m} neighbours: lower neighbours, or add images"
        )
    found, first = [], 0
    for own in z.split(counts.tolist()):
        tree = NearestNeighbors(n_neighbors=m).fit(own.cpu().numpy())
        rows = torch.from_numpy(tree.kneighbors(return_distance=False))
        found.append(rows.long() + first)
        first += len(own)
    return torch.cat(found).to(z.device)

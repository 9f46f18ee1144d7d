"""The smoothed bootstrap: a training latent, and a kernel on the scale of its neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.common.stored import Stored
from hvrt_diffuser.samplers.allocation import Allocation, allocate
from hvrt_diffuser.samplers.kernels import CopulaKernel, Kernel
from hvrt_diffuser.samplers.leaves import Leaves
from hvrt_diffuser.samplers.protocol import Draws, LatentSampler
from hvrt_diffuser.samplers.randomness import choose_below, random_words, symmetric_uniform
from hvrt_diffuser.samplers.trees import Forest

__all__ = ["Neighbourhoods", "SmoothedBootstrap"]

# Numbers drawn at once: on a CPU what fits into its caches, elsewhere what keeps a device busy.
AT_ONCE = {"cpu": 2**19}
AT_ONCE_ELSEWHERE = 2**24


@dataclass(frozen=True)
class Neighbourhoods(Stored):
    """A partition of the training latents, and the kernel in its leaves.

    Attributes:
        leaf: int64 (members, n), the leaf of each latent in each member of an ensemble.
        kernel: its tables, with an entry for each leaf.
        forest: the trees that the leaves come from; None where there was no tree.
    """

    leaf: Tensor
    kernel: Kernel
    forest: Forest | None = None

    form: ClassVar[str] = "neighbourhoods"

    @property
    def n_leaves(self) -> int:
        """Leaves of all members."""
        return self.kernel.n_leaves

    @property
    def sizes(self) -> Tensor:
        """int64 (k,), the latents in each leaf."""
        return Leaves(self.leaf, self.n_leaves).sizes


@dataclass(frozen=True)
class SmoothedBootstrap(LatentSampler):
    """Draws a training latent uniformly, and lets the kernel of its neighbourhood move it.

    A leaf drawn by its size and then a row of the leaf is a uniform draw over rows, so neither a
    tree nor a loop over leaves is needed. A draw keeps the label of its row. An ensemble is one
    more uniform choice, of the member whose leaf counts.

    Attributes:
        latents: float32 or float64 (n, d), ordered by class.
        counts: int64 (k,), rows of each class.
        overall: the neighbourhoods that draws without a given label use.
        per_class: the neighbourhoods that draws of a given label use; no leaf spans two classes.
        origin: what it was fitted by and on, kept in the file's header.
    """

    latents: Tensor
    counts: Tensor
    overall: Neighbourhoods
    per_class: Neighbourhoods
    origin: dict[str, Any]

    form: ClassVar[str] = "smoothed bootstrap"

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.latents.shape[1]

    @property
    def keeps_latents(self) -> bool:
        """True: it draws from them."""
        return True

    @cached_property
    def labels(self) -> Tensor:
        """int64 (n,), the class of each training latent."""
        classes = torch.arange(self.n_classes, device=self.device)
        return classes.repeat_interleave(self.counts, output_size=len(self.latents))

    @cached_property
    def _first(self) -> Tensor:
        """int64 (k,), the first row of each class."""
        return self.counts.cumsum(0) - self.counts

    def draw(
        self,
        n: int,
        labels: Tensor | None = None,
        *,
        generator: torch.Generator,
        allocation: Allocation = "uniform",
    ) -> Draws:
        """Draw n latents, and say which rows they started from; a copula starts from none.

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each draw; None draws from all classes in the
                proportions of the real latents.
            generator: the only source of randomness.
            allocation: ``uniform`` draws rows independently; ``systematic`` gives each leaf of the
                first member the floor or the ceiling of its expected number of draws in this call;
                ``hvrt`` divides the draws as ``hvrt.expand`` does, which is biased.

        Raises:
            InputError: see :meth:`hvrt_diffuser.samplers.LatentSampler.draw`.
        """
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        neighbourhoods = self.overall if labels is None else self.per_class
        if labels is not None:
            labels = labels.to(self.device)
        rows = None
        if allocation != "uniform":
            leaf = neighbourhoods.leaf[0]
            rows = allocate(allocation, n, labels, leaf, self.counts, generator)
        drawn = (
            torch.empty(n, self.latent_dim, dtype=self.latents.dtype, device=self.device),
            torch.empty(n, dtype=torch.long, device=self.device) if labels is None else labels,
            torch.empty(n, dtype=torch.long, device=self.device) if rows is None else rows,
        )
        chunk = max(1, AT_ONCE.get(self.device.type, AT_ONCE_ELSEWHERE) // self.latent_dim)
        for start in range(0, n, chunk):
            latents, own, places = (tensor[start : start + chunk] for tensor in drawn)
            self._fill(
                (latents, own, places),
                neighbourhoods,
                labels is not None,
                rows is not None,
                generator,
            )
        latents, own, places = drawn
        starts_from_rows = not isinstance(neighbourhoods.kernel, CopulaKernel)
        return Draws(latents, own, places if starts_from_rows else None)

    def _fill(
        self,
        drawn: tuple[Tensor, Tensor, Tensor],
        neighbourhoods: Neighbourhoods,
        labels_given: bool,
        rows_given: bool,
        generator: torch.Generator,
    ) -> None:
        """Write draws where they belong; every draw takes one row of random words."""
        latents, labels, rows = drawn
        n, d = latents.shape
        words = random_words(n, 1 + (d + 1) // 2, generator, self.device)
        if not rows_given and labels_given:
            torch.add(self._first[labels], choose_below(words[:, 0], self.counts[labels]), out=rows)
        elif not rows_given:
            rows.copy_(choose_below(words[:, 0], len(self.latents)))
        if not labels_given:
            torch.index_select(self.labels, 0, rows, out=labels)
        place = rows
        if len(neighbourhoods.leaf) > 1:
            # The member comes from the other half of the word that the row came from.
            member = choose_below(words[:, 0] >> 32, len(neighbourhoods.leaf))
            place = member.mul_(len(self.latents)).add_(rows)
        leaf = neighbourhoods.leaf.flatten().index_select(0, place)
        torch.index_select(self.latents, 0, rows, out=latents)
        neighbourhoods.kernel.draw(latents, leaf, symmetric_uniform(words[:, 1:], d))

"""What every latent sampler can do, and what it is fitted by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.estimator import Estimator
from hvrt_diffuser.common.scratch import scratch_numbers
from hvrt_diffuser.common.stored import Stored, load_stored

__all__ = [
    "Draws",
    "LatentSampler",
    "SamplerEstimator",
    "by_class",
    "check_latents",
    "load_sampler",
]

AT_ONCE = 65_536  # latents that are looked at together
NOTICE = "contains the latents of the training images, from which they can be decoded"


class Draws(NamedTuple):
    """What was drawn.

    Attributes:
        latents: (n, d).
        labels: int64 (n,).
        rows: int64 (n,), the training latent that each draw started from, where they are ordered
            by class; None for a sampler that starts from none.
    """

    latents: Tensor
    labels: Tensor
    rows: Tensor | None


class LatentSampler(Stored, ABC):
    """A distribution over latents and their labels, fitted to those of real images.

    A subclass is a frozen dataclass, which has at least what stands below, as fields or
    properties, and :meth:`draw`. Moving and writing it is done for it, see :class:`Stored`.

    On the CPU the rows are those of one stream: two calls with the same generator give, one after
    the other, the rows that one call for both would have given.
    """

    file_kind: ClassVar[str] = "latent sampler"

    if TYPE_CHECKING:  # else they would be the defaults of fields of the same names

        @property
        def latent_dim(self) -> int:
            """Dimensions of a latent."""

        @property
        def counts(self) -> Tensor:
            """int64 (k,), the number of latents of each class that it was fitted on."""

        @property
        def origin(self) -> dict[str, Any]:
            """What it was fitted by, and ``autoencoder``, the fingerprint of the network."""

    @property
    def n_classes(self) -> int:
        """Number of classes; labels are 0 ... n_classes - 1."""
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        """Where it draws: that of its tables, which the generator has to be on, too."""
        return self.counts.device

    @property
    def keeps_latents(self) -> bool:
        """Whether it, and so its file, contains the latents of the training images."""
        return False

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The latents and labels of :meth:`draw`."""
        latents, labels, _ = self.draw(n, labels, generator=generator)
        return latents, labels

    @abstractmethod
    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """Draw n latents and their labels, on the sampler's device.

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each draw; None draws from all classes in the
                proportions of the real latents.
            generator: the only source of randomness.

        Raises:
            InputError: n below 1, labels of another length, an unknown class, or a generator of
                another device.
        """

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header of JSON, which says whether they hold training latents."""
        tensors, header = super().packed()
        return tensors, header | ({"notice": NOTICE} if self.keeps_latents else {})


class SamplerEstimator(Estimator):
    """What a latent sampler is fitted by.

    ``uses`` may name ``augmented``, latents of augmented images (c, n, d), and ``deviations``, of
    the posteriors of a VAE (n, d): keyword arguments of :meth:`fit` that it may be given.
    """

    kind: ClassVar[str] = "latents"

    @abstractmethod
    def fit(self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> LatentSampler:
        """Fit a sampler.

        Args:
            latents: float32 or float64 (n, d), on the device that the sampler shall draw on.
            labels: int64 (n,), every class from 0 to k - 1; None makes one class of all latents.
            seed: of what is random in the fit.

        Raises:
            InputError: latents or labels that cannot be fitted.
        """

    def adapt(
        self,
        fitted: Any,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
    ) -> LatentSampler:
        """A fitted sampler with the options of this estimator that matter for drawing alone.

        Args:
            fitted: by an estimator that differs in :attr:`drawing` alone.
            latents: those that it was fitted on.
            labels: theirs.
            seed: of what has to be fitted again.
            augmented: for those whose :attr:`uses` has it.
        """
        return fitted

    def check(self, counts: Tensor, class_names: Sequence[str] | None = None) -> None:
        """Look whether there are latents enough, before anything is trained that makes them.

        Args:
            counts: int64 (k,), of each class.
            class_names: k names, for the message; None numbers the classes.

        Raises:
            InputError: a class has too few.
        """

    def builds_on(self) -> SamplerEstimator | None:
        """What fits a sampler that this one's fit can go on from, as ``fit(..., start=fitted)``."""
        return None


def load_sampler(path: str | Path) -> LatentSampler:
    """Read what the ``save`` of a sampler wrote, onto the CPU.

    Raises:
        InputError: see :func:`hvrt_diffuser.common.stored.load_stored`.
    """
    sampler: LatentSampler = load_stored(path, LatentSampler.file_kind)
    return sampler


def check_latents(latents: Tensor, labels: Tensor | None) -> Tensor:
    """Check latents (n, d) and labels (n,) before a fit.

    Returns:
        The labels int64 (n,) on the latents' device, all 0 where None was given.

    Raises:
        InputError: shapes or types that do not fit, NaN or infinite values, classes that are not
            0 ... k-1.
    """
    if latents.ndim != 2 or 0 in latents.shape:
        raise InputError(
            f"latents of shape {tuple(latents.shape)} were given, expected (n, d) with n and d at "
            "least 1: give a row per image"
        )
    if latents.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"latents of type {latents.dtype} were given, expected float32 or float64: convert them"
        )
    if labels is None:
        labels = torch.zeros(len(latents), dtype=torch.long)
    if labels.shape != latents.shape[:1]:
        raise InputError(
            f"latents of shape {tuple(latents.shape)} and labels of shape {tuple(labels.shape)} "
            "were given, expected (n, d) and (n,): give one label per latent"
        )
    if labels.dtype != torch.long:
        raise InputError(f"labels of type {labels.dtype} were given, expected int64: convert them")
    bad = torch.cat([~torch.isfinite(x).all(dim=1) for x in latents.split(AT_ONCE)])
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(latents)} latents hold NaN or infinite values (the first "
            f"in row {int(bad.nonzero()[0])}), expected finite ones: train the autoencoder again "
            "with a lower learning rate and encode again"
        )
    found = labels.unique()
    if found[0] != 0 or found[-1] != len(found) - 1:
        raise InputError(
            f"labels take the values {found.tolist()[:12]}, expected every class "
            "from 0 to k-1 to occur: renumber the labels or add images of the missing classes"
        )
    return labels.to(latents.device)


def by_class(latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (n, d) and labels int64 (n,) ordered by class, and the rows of each, int64 (k,).

    Raises:
        InputError: see :func:`check_latents`.
    """
    labels = check_latents(latents, labels)
    order = torch.argsort(labels, stable=True)
    latents, counts = latents.detach(), torch.bincount(labels)
    if latents.device.type != "cpu" or latents.dtype != torch.float32:
        return latents[order], labels[order], counts
    arranged = scratch_numbers(*latents.shape)
    for rows, part in zip(order.split(AT_ONCE), arranged.split(AT_ONCE), strict=True):
        torch.index_select(latents, 0, rows, out=part)
    return arranged, labels[order], counts

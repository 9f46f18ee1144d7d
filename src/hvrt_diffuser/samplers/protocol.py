"""What every latent sampler can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from hvrt_diffuser.errors import InputError

__all__ = ["LatentSampler", "check_latents", "check_requested_labels"]


class LatentSampler(Protocol):
    """A distribution over latents and their labels, fitted to those of real images.

    On the CPU the rows are those of one stream: two calls with the same generator give, one after
    the other, the rows that one call for both would have given.
    """

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""

    @property
    def n_classes(self) -> int:
        """Number of classes; labels are 0 ... n_classes - 1."""

    @property
    def origin(self) -> Mapping[str, Any]:
        """What it was fitted by and on; ``autoencoder`` is the fingerprint of the network."""

    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw n latents float32 (n, d) and their labels int64 (n,).

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each draw; None draws from all classes in the
                proportions of the real latents.
            generator: the only source of randomness.

        Raises:
            InputError: n below 1, labels of another length, or an unknown class.
        """


def check_latents(latents: Tensor, labels: Tensor) -> int:
    """Check latents (n, d) and labels (n,) before a fit.

    Returns:
        The number of classes.

    Raises:
        InputError: shapes that do not fit, NaN or infinite values, classes that are not 0 ... k-1.
    """
    if latents.ndim != 2 or labels.shape != latents.shape[:1] or len(latents) == 0:
        raise InputError(
            f"latents of shape {tuple(latents.shape)} and labels of shape {tuple(labels.shape)} "
            "were given, expected (n, d) and (n,) with n at least 1: give one label per latent"
        )
    bad = ~torch.isfinite(latents).all(dim=1)
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(latents)} latents hold NaN or infinite values (the first "
            f"in row {int(bad.nonzero()[0])}), expected finite ones: train the autoencoder again "
            "with a lower learning rate and encode again"
        )
    counts = torch.bincount(labels.clamp(min=0))
    if labels.min() < 0 or (counts == 0).any():
        raise InputError(
            f"labels take the values {sorted(set(labels.tolist()))[:12]}, expected every class "
            "from 0 to k-1 to occur: renumber the labels or add images of the missing classes"
        )
    return len(counts)


def check_requested_labels(n: int, labels: Tensor | None, n_classes: int) -> None:
    """Check what :meth:`LatentSampler.sample` is asked for.

    Raises:
        InputError: n below 1, labels of another length, or an unknown class.
    """
    if n < 1:
        raise InputError(f"{n} draws were asked for, expected at least 1: give a positive n")
    if labels is None:
        return
    if labels.shape != (n,):
        raise InputError(
            f"{tuple(labels.shape)} labels were given for {n} draws, expected ({n},): "
            "give one label per draw"
        )
    unknown = sorted({int(label) for label in labels[(labels < 0) | (labels >= n_classes)]})
    if unknown:
        raise InputError(
            f"class {unknown[0]} was asked for, expected one of 0 to {n_classes - 1}: "
            "choose a class that the sampler was fitted on"
        )

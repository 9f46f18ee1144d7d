"""What stands behind a bad verdict: an autoencoder that loses too much, or images of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.judge.extractors import Extractor
from hvrt_diffuser.judge.likeness import likeness

__all__ = ["limit", "reconstruction", "unlike"]

KEPT = 0.7  # share of the variance of pixels, below which reconstructions are far off
OWN_PART = 0.5  # of what synthetic images lack, from which on it is the autoencoder's
LOST = 0.5  # variances in the classifier's features, from which on images show nothing
TOLD = 0.25  # of what a classifier sees in real images above chance, below which they show nothing
AT_ONCE = 512  # images
WORKS = 20  # points above chance, from which on a classifier can tell


def reconstruction(
    reconstructed: Tensor, test: Tensor, extractors: Mapping[str, Extractor], *, seed: int
) -> dict[str, Any]:
    """How much of test images is left once they are encoded and decoded.

    Args:
        reconstructed: uint8 (n, c, h, w), through the autoencoder.
        test: uint8 (n, c, h, w), the same images as they are.
        extractors: by name, of the likeness.
        seed: of halvings and permutations.

    Returns:
        JSON: ``kept``, the share of the variance of pixels (1 where nothing is lost, below 0 where
        their mean would be nearer; None where all test images are the same one), and ``likeness``
        as of synthetic images.
    """
    return {
        "kept": _kept(reconstructed, test),
        "likeness": likeness(reconstructed, test, extractors, seed=seed),
    }


def _kept(reconstructed: Tensor, test: Tensor) -> float | None:
    """One less the share of the variance that is lost, by sums over blocks: memory is bounded."""
    total = torch.zeros(test.shape[1:], dtype=torch.float64)
    for x in test.split(AT_ONCE):
        total += x.sum(0, dtype=torch.float64)
    mean = total / len(test)  # exact of images that are all the same one
    lost, variance = 0.0, 0.0
    for x, r in zip(test.split(AT_ONCE), reconstructed.split(AT_ONCE), strict=True):
        lost += float((x.double() - r.double()).square().sum())
        variance += float((x.double() - mean).square().sum())
    return 1 - lost / variance if variance else None


def limit(found: Mapping[str, Any], excess: float) -> str | None:
    """The autoencoder, where no sampler could do much better with it, in a sentence.

    Args:
        found: of an evaluation, with ``likeness`` and ``reconstruction``.
        excess: variances, from which on a likeness is poor.
    """
    own = found.get("reconstruction")
    if own is None:
        return None
    better = "train it for more steps, give it more latent dimensions, or add images"
    if own["kept"] is not None and own["kept"] < KEPT:
        kept = max(own["kept"], 0)
        return (
            f"The autoencoder: of test images that it encodes and decodes, {kept:.0%} of "
            f"the variance of pixels is left, and no sampler can draw more than that: {better}."
        )
    lost = [
        (each["e"], of_test)
        for name, each in found["likeness"].items()
        if None not in (of_test := own["likeness"].get(name, {}).get("low"), each["e"])
        and of_test > excess
        and of_test > OWN_PART * each["e"]
    ]
    if not lost:
        return None
    e, of_test = max(lost)  # of what a verdict takes, the worst
    return (
        "The autoencoder: test images that it encodes and decodes are already "
        f"{of_test:.2f} variances off, of {e:.2f} of the synthetic ones: {better}."
    )


def unlike(found: Mapping[str, Any]) -> str | None:
    """Why images show too little to ask whose they are, in a sentence; None where they show enough.

    A distance between images that show nothing is that of their colours.
    """
    own = found["likeness"].get("classifier")
    if own and own["low"] is not None and own["low"] > LOST:
        return (
            f"They are {own['e']:.2f} variances from real images, too unlike them for a distance "
            "to say that they are no copies."
        )
    agreement = found["label_agreement"]
    if agreement:
        chance = 100 / len(found["per_class"])
        told, real = (agreement[name]["percent"] - chance for name in ("synthetic", "test"))
        if real > WORKS and told < TOLD * real:
            return (
                f"A classifier sees in {told + chance:.0f}% of them what their label says, and "
                f"chance is {chance:.0f}%: they are too unlike real images for a distance to say "
                "that they are no copies."
            )
    return None

"""What measures are called where people read, and which way is better."""

from __future__ import annotations

from typing import NamedTuple

from hvrt_diffuser.metrics import METRICS, Metric

__all__ = ["Reading", "reading"]


class Reading(NamedTuple):
    """How to read a row of figures.

    Attributes:
        title: what the measure is called.
        better: ``less``, ``more``, the value that says "no difference", or nothing where neither
            end is good.
    """

    title: str
    better: str


BETTER = {"low": "less", "high": "more", None: ""}
FEATURES = {"classifier": "the judge's features", "encoder": "the encoder's", "pixels": "pixels"}
SPACES = {"latent": "latents", "image": "images, decoded", "raw": "images as they are"}
# Measures that are no functions of features, and those of which the middle is good.
OTHERS = {
    "label_agreement": Reading("images in which the judge sees their label, %", "more"),
    "fid": Reading("FID: Fréchet distance, Inception features", "less"),
    "ks": Reading("difference of a latent's distribution (Kolmogorov-Smirnov)", "less"),
    "wasserstein": Reading("Wasserstein distance of a latent's distribution", "less"),
    "attribution": Reading("draws nearest to the training latent they started from", "less"),
    **{
        f"dcr_{key}": Reading(f"distance to the closest training image, {space}", "1, or more")
        for key, space in SPACES.items()
    },
    **{
        f"authentic_{key}": Reading(f"farther from training images than they are, {space}", "more")
        for key, space in SPACES.items()
    },
    "classifier_test_classifier": Reading("told apart by a classifier", "0.5"),
    "nearest_neighbour_test_classifier": Reading("told apart by neighbours", "0.5"),
}
ENDS = ("low", "high")  # of an interval
DEVIATION = "std"


def reading(name: str) -> Reading:
    """How to read the figures of a name, such as ``kid_classifier: mean``."""
    key, _, part = name.partition(": ")
    whole = OTHERS.get(key) or _of_features(key)
    if part in ENDS:
        return Reading(f"{whole.title}: {part} end of the interval", "")
    if part == DEVIATION:
        return Reading(f"{whole.title}: its deviation", "")
    named = part not in ("", "mean", "accuracy")
    return Reading(f"{whole.title}: {part}", whole.better) if named else whole


def _of_features(key: str) -> Reading:
    """A metric by name, in the features of an extractor; of a user's own the name alone."""
    for end, features in FEATURES.items():
        name = key.removesuffix(f"_{end}")
        if name != key and name in METRICS.own_names():
            metric: Metric = METRICS.find(name)
            return Reading(f"{metric.title}, {features}", BETTER[metric.direction])
    return Reading(key, "")

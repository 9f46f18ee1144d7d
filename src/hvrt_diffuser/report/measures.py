"""What measures are called where people read, and which way is better."""

from __future__ import annotations

from typing import NamedTuple

from hvrt_diffuser.metrics import METRICS, Metric

__all__ = ["Reading", "reading", "row_name"]


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
FEATURES = {
    "classifier": "features of the judge",
    "classifier_middle": "what the judge sees half-way",
    "encoder": "features of the encoder",
    "pixels": "pixels",
}
SPACES = {"latent": "latents", "image": "images, decoded", "raw": "images as they are"}
# Measures that are no functions of features, and those of which the middle is good.
OTHERS = {
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
    "likelihood_gap_raw": Reading("fresh images likelier than training images", "about 0"),
    "classifier_test_classifier": Reading("told apart by a classifier", "0.5"),
    "nearest_neighbour_test_classifier": Reading("told apart by neighbours", "0.5"),
}
ROWS = {
    "real_all": "all real images",
    "real_all_until_validation": "all real images, augmented, until validation stops it",
    "real_augmented": "real images, augmented",
    "real_equal_n": "real images",
    "synthetic": "synthetic images",
    "synthetic_equal_information": "synthetic images of a generator that saw as many real ones",
    "real_and_synthetic": "real and synthetic images",
    "real_augmented_and_synthetic": "real and synthetic images, augmented",
    "few_shot_real": "few real images",
    "few_shot_real_augmented": "few real images, augmented",
    "few_shot_real_and_synthetic": "few real images, and synthetic ones made from them",
    "few_shot_real_augmented_and_synthetic": "the same, augmented",
    "copied": "real images, decoded (pure copies)",
    "random_decoded": "random latents with random labels, decoded",
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


def row_name(row: str) -> str:
    """What a row of TSTR was trained on; of a VAE, the value of β."""
    if row.startswith("vae_beta_"):
        beta = row.removeprefix("vae_beta_").replace("_", ".")
        return f"images of a VAE with β = {beta}, posteriors decoded"
    return ROWS.get(row, row)

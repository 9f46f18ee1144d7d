"""Which pictures the report shows, with what they say in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents, encode_images
from hvrt_diffuser.common.figures import literal, titled_figure
from hvrt_diffuser.common.seeding import generator as seeded
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import pixels
from hvrt_diffuser.metrics import closest, kolmogorov_smirnov
from hvrt_diffuser.report.page import Picture
from hvrt_diffuser.report.plots import (
    plot_fd,
    plot_frontier,
    plot_image_rows,
    plot_marginals,
    set_name,
)
from hvrt_diffuser.samplers import LatentSampler

__all__ = ["MOST_CLASSES", "closest_pairs", "draw_pictures", "first_of_each"]

MOST_CLASSES = 10  # with a row of images each
COLUMNS = 8
NEIGHBOURS = 5
PAIRS = 8  # synthetic images, above the training images that they lie nearest to


def draw_pictures(
    synthetic: LabelledImages,
    train: LabelledImages,
    test: LabelledImages,
    generator: HVRTDiffuser,
    evaluation: Mapping[str, Any],
    *,
    seed: int,
    device: torch.device,
) -> dict[str, list[Picture]]:
    """By section of the page, its pictures.

    Args:
        synthetic: the images that were judged.
        train: training images.
        test: test images.
        generator: made them; its autoencoder shows what can be decoded.
        evaluation: the metrics.
        seed: of the latents that are compared.
        device: where to encode and to decode.
    """
    autoencoder = generator.autoencoder
    assert autoencoder is not None, "a run always has one"
    held_out, _ = encode_images(autoencoder, test.images, device)
    in_both = torch.isin(synthetic.labels.unique(), test.labels)
    present = synthetic.labels.unique()[in_both][:MOST_CLASSES].tolist()
    names = [synthetic.class_names[c] for c in present]
    rows = first_of_each(test.labels, present)
    shown = {
        "Real test images": (test.images, rows, "Real test images."),
        "Test images, encoded and decoded": (
            decode_latents(autoencoder, held_out[rows.flatten()], device),
            torch.arange(rows.numel()).reshape(rows.shape),
            "The same, encoded and decoded: what the decoder can show at best.",
        ),
        "Synthetic images": (
            synthetic.images,
            first_of_each(synthetic.labels, present),
            "Synthetic images.",
        ),
    }
    fd, ratio = evaluation["fd_classifier"], evaluation.get("dcr_image", {}).get("synthetic")
    found = {
        "images": [
            Picture(
                plot_image_rows(title, images[chosen], names),
                caption,
                f"{caption} {COLUMNS} of each of the classes {', '.join(names)}, a row per class.",
                "png",
            )
            for title, (images, chosen, caption) in shown.items()
        ],
        "nearest": [
            _nearest(synthetic, train, autoencoder, present, device),
            *closest_pairs(train.images, synthetic.images, evaluation["copies"]["nearest"]),
        ],
        "marginals": [_marginals(generator, held_out.numpy(), len(synthetic), seed)],
    }
    if fd["synthetic"] is None or ratio is None:
        few = Picture(_words("too few images to measure"), "Too few images to measure.", "Nothing.")
        return {**found, "frontier": [few], "fidelity": [few]}
    found |= {
        "frontier": [
            Picture(
                plot_frontier(evaluation),
                "Fidelity against novelty: down is nearer to real images, right is farther from "
                "copies.",
                f"Pure copies stand at 0 and Fréchet distance {fd['copy_floor']:.2f}, synthetic "
                f"images at {ratio:.2f} and {fd['synthetic']:.2f}, "
                f"fresh real images at 1 and {fd['real_floor']:.2f}.",
            )
        ],
        "fidelity": [
            Picture(
                plot_fd(fd),
                "Fréchet distance to the test images, less is better.",
                "; ".join(f"{set_name(name)}: {value:.2f}" for name, value in fd.items()) + ".",
            )
        ],
    }
    return found


def _marginals(
    generator: HVRTDiffuser, held_out: NDArray[np.float32], n: int, seed: int
) -> Picture:
    """Latents from the sampler beside those of test images; a whole model has none."""
    if not isinstance(generator.sampler, LatentSampler):
        words = _words("this model draws no latents")
        return Picture(words, "This model draws no latents.", "No histograms.")
    draws, _ = generator.sampler.sample(n, generator=seeded(seed, "report", "latents"))
    latents = draws.numpy(), held_out
    statistics = kolmogorov_smirnov(*latents)
    return Picture(
        plot_marginals(*latents, statistics),
        "The six latent dimensions in which synthetic and test latents differ most.",
        "Two histograms in each of six dimensions; the largest Kolmogorov-Smirnov "
        f"statistic is {statistics.max():.3f}, the mean over all {len(statistics)} "
        f"dimensions {statistics.mean():.3f}.",
    )


def _words(text: str) -> Figure:
    figure = titled_figure("Not measured", 6, 1)
    figure.text(0.5, 0.5, literal(text), ha="center", va="center")
    return figure


def first_of_each(labels: Tensor, classes: list[int]) -> Tensor:
    """The first images of each class, int64 (classes, columns); again from the start if few."""
    chosen = []
    for c in classes:
        own = (labels == c).nonzero()[:, 0]
        chosen.append(own[torch.arange(COLUMNS) % len(own)])
    return torch.stack(chosen)


def _nearest(
    synthetic: LabelledImages,
    train: LabelledImages,
    autoencoder: Autoencoder,
    classes: list[int],
    device: torch.device,
) -> Picture:
    """A synthetic image of each class beside the training images nearest to it."""
    first = first_of_each(synthetic.labels, classes)[:, 0]
    latents, _ = encode_images(autoencoder, train.images, device)
    decoded = pixels(decode_latents(autoencoder, latents, device))
    k = min(NEIGHBOURS, len(decoded))
    rows, distances = closest(pixels(synthetic.images[first]), decoded, k)
    both = torch.cat([synthetic.images[first][:, None], train.images[torch.from_numpy(rows)]], 1)
    names = [synthetic.class_names[c] for c in classes]
    columns = ["synthetic", *(f"nearest {i + 1}" for i in range(k))]
    titles = [f"{name}, {own[0]:.2f}" for name, own in zip(names, distances, strict=True)]
    words = "; ".join(
        f"{name}: {', '.join(f'{distance:.2f}' for distance in own)}"
        for name, own in zip(names, distances, strict=True)
    )
    return Picture(
        plot_image_rows("Synthetic images beside training images", both, titles, columns),
        "A synthetic image of each class, and the training images nearest to it. After the name: "
        "the distance to the nearest one, as the decoder shows it; less is nearer to a copy.",
        f"A synthetic image of each class beside its {k} nearest training images, by the "
        f"distance between decoded pixels from 0 to 1. Distances: {words}.",
        "png",
    )


def closest_pairs(
    train: Tensor, synthetic: Tensor, pairs: Sequence[Mapping[str, Any]]
) -> list[Picture]:
    """The synthetic images that lie nearest to a training image, above it; none without pairs.

    Args:
        train: uint8 (n, c, h, w).
        synthetic: uint8 (m, c, h, w).
        pairs: nearest first, with ``place`` of a synthetic image, its ``nearest`` training image
            and their ``distance``.
    """
    pairs = pairs[:PAIRS]
    if not pairs:
        return []
    draws, rows = (torch.tensor([pair[key] for pair in pairs]) for key in ("place", "nearest"))
    distances = [f"{pair['distance']:.2f}" for pair in pairs]
    return [
        Picture(
            plot_image_rows(
                "The closest pairs, and their distances",
                torch.stack([synthetic[draws], train[rows]]),
                ["synthetic", "training"],
                distances,
            ),
            "The synthetic images that lie nearest to a training image, above it. Over each pair: "
            "its distance, the least over small shifts and turns; 0 is a copy.",
            f"{len(pairs)} synthetic images above the training images nearest to them. Distances: "
            f"{', '.join(distances)}.",
            "png",
        )
    ]

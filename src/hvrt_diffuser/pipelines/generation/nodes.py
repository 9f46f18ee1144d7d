"""Nodes of ``generation``."""

from __future__ import annotations

import logging

import torch
from matplotlib.figure import Figure

from hvrt_diffuser.catalog.synthetic import ImageStream
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.figures import label, titled_figure
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.classes import class_index, requested_counts
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions

__all__ = ["add", "generate", "plot_grid"]

logger = logging.getLogger(__name__)

GRID_COLUMNS = 10
MAX_GRID_ROWS = 20


def generate(
    generator: HVRTDiffuser, images_test: LabelledImages, options: GenerationOptions, seed: int
) -> ImageStream:
    """Labelled images, made as they are written; ``images_test`` gives the classes' names."""
    names, labels = images_test.class_names, None
    if options.class_id is not None:
        place = class_index(names, options.class_id)
        logger.info("drawing class %s", names[place])
        labels = torch.full((options.n,), place)
    seed = seed if options.seed is None else options.seed
    stream = _at(generator, options).stream(options.n, labels, seed=seed)
    return ImageStream(stream, names)


def add(
    generator: HVRTDiffuser, images_train: LabelledImages, options: GenerationOptions, seed: int
) -> ImageStream:
    """Images to add to the training images, made as they are written; empty unless asked for."""
    names = images_train.class_names
    real = torch.bincount(images_train.labels, minlength=len(names)).tolist()
    counts = requested_counts(names, real, balance=options.balance, counts=options.counts)
    if not sum(counts):
        if options.balance:
            logger.info("all classes have %s training images: nothing is added", f"{real[0]:,}")
        return ImageStream((), names)
    added = ", ".join(f"{n:,} of {name}" for name, n in zip(names, counts, strict=True) if n)
    logger.info("adding to the training images: %s", added)
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor(counts))
    seed = derive_seed(seed if options.seed is None else options.seed, "generation", "added")
    return ImageStream(_at(generator, options).stream(len(labels), labels, seed=seed), names)


def _at(generator: HVRTDiffuser, options: GenerationOptions) -> HVRTDiffuser:
    """The same generator on the device and in the precision of the options."""
    device = resolve_device(options.device or "auto")
    return HVRTDiffuser(generator.autoencoder, generator.sampler, device, options.precision)


def plot_grid(
    generator: HVRTDiffuser, images_test: LabelledImages, options: GenerationOptions, seed: int
) -> Figure:
    """A row of synthetic images per class, of the first 20 classes."""
    names = images_test.class_names[:MAX_GRID_ROWS]
    labels = torch.arange(len(names)).repeat_interleave(GRID_COLUMNS)
    if generator.n_classes == 1:  # a model that knows no classes
        names, labels = names[:1], labels[:GRID_COLUMNS]
    seed = seed if options.seed is None else options.seed
    batches = _at(generator, options).stream(len(labels), labels, seed=seed)
    images = torch.cat([images for images, _ in batches]).permute(0, 2, 3, 1).numpy()

    figure = titled_figure("Synthetic images, a row per class", 6.6, 0.62 * len(names) + 0.4)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(names), GRID_COLUMNS, squeeze=False)
    for i, axes in enumerate(grid.flat):
        axes.imshow(images[i], cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(label(name), rotation=0, ha="right", va="center")
    return figure

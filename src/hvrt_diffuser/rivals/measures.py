"""What is measured of every rival, whether it draws latents or images."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import decode_latents
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.files import read_tensors
from hvrt_diffuser.common.machine import memory, reset_peak
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.frontier import ImageYardstick, Yardstick
from hvrt_diffuser.image_models import ImageGenerator
from hvrt_diffuser.judge.rows import Row, decoded, even_labels, fixed
from hvrt_diffuser.rivals.ledger import Entry
from hvrt_diffuser.samplers import SamplerEstimator
from hvrt_diffuser.samplers.bootstrap import KIND

__all__ = ["MEASURES", "draw_images", "measure_generator", "measure_sampler", "milliseconds"]

Model = TypeVar("Model", bound=ImageGenerator)
MEASURES = 2  # counts the changes of what is measured: entries from before do not count
BATCHES = (1, 64, 1024)
CALLS = 5  # of each batch size, of which the median counts
LONG = 2.0  # seconds of a call that is not repeated: a warm-up is a small part of it


def measure_sampler(
    yardstick: Yardstick, estimator: SamplerEstimator, classifier: ClassifierOptions, seed: int
) -> Entry:
    """Fit a sampler of latents, draw from it, and measure.

    Args:
        yardstick: of the autoencoder whose latents it is fitted on.
        estimator: what it is fitted by.
        classifier: of TSTR.
        seed: of everything random.
    """
    latents = yardstick.latents.to(yardstick.device)
    with _watched() as used:
        start = time.perf_counter()
        sampler = estimator.fit(latents, yardstick.train.labels, seed=seed)
        fit_seconds = time.perf_counter() - start
        drawn = yardstick.draw(sampler, seed)
    point = asdict(yardstick.place(drawn))
    del point["seconds"]

    def draw(n: int, source: torch.Generator) -> None:
        latents, _ = sampler.sample(n, generator=source)
        decode_latents(yardstick.autoencoder, latents, yardstick.device)

    row = decoded(yardstick.autoencoder, sampler, yardstick.n, yardstick.device)
    return {
        **point,
        **_likeness(yardstick, drawn.images, seed),
        "tstr": yardstick.utility({"draws": row}, classifier, seeds=1, seed=seed)["draws"],
        "nelbo": None,
        "train_seconds": fit_seconds,
        "ms_per_image": milliseconds(draw, sampler.device),
        **used,
        **_size(sampler.save, KIND),
    }


def measure_generator(
    yardstick: ImageYardstick,
    fit: Callable[[], Model],
    kind: str,
    classifier: ClassifierOptions,
    seed: int,
) -> tuple[Entry, Model]:
    """Train a model of images, draw from it, and measure.

    Args:
        yardstick: of real images.
        fit: gives the model.
        kind: of its file.
        classifier: of TSTR, for a model that knows all classes.
        seed: of everything random but the training.
    """
    with _watched() as used:
        start = time.perf_counter()
        model = fit()
        fit_seconds = time.perf_counter() - start
        images, rows = draw_images(yardstick, model, seed)

    def draw(n: int, source: torch.Generator) -> None:
        model.sample(n, generator=source)

    found = yardstick.utility(rows, classifier, seeds=1, seed=seed) if rows else {}
    entry = {
        **asdict(yardstick.place_images(images)),
        "dcr_latent": None,
        "attribution": None,
        "ks": None,
        **_likeness(yardstick, images, seed),
        "tstr": found.get("draws"),
        "nelbo": None,
        "train_seconds": fit_seconds,
        "ms_per_image": milliseconds(draw, model.device),
        **used,
        **_size(model.save, kind),
    }
    return entry, model


def draw_images(
    yardstick: ImageYardstick, model: ImageGenerator, seed: int
) -> tuple[Tensor, dict[str, Row]]:
    """Images in the real proportions, and the row of TSTR; none for a model without classes.

    Of a model that knows all classes, both are taken from the same draws: 10,000 of a diffusion of
    pixels take twenty minutes.

    Args:
        yardstick: says how many.
        model: on any device.
        seed: of the draws.

    Returns:
        uint8 (n, c, h, w) on the CPU, and the row as ``draws``.
    """
    source = generator(seed, "frontier", "draws", device=model.device)
    n, k = yardstick.n, model.n_classes
    if k != len(yardstick.train.class_names):
        return model.sample(n, generator=source)[0].cpu(), {}
    even = torch.bincount(even_labels(n, k), minlength=k)
    most = torch.maximum(even, torch.bincount(yardstick.proportional_labels(seed), minlength=k))
    labels = torch.arange(k).repeat_interleave(most)
    labels = labels[torch.randperm(len(labels), generator=generator(seed, "rivals", "labels"))]
    images = model.sample(len(labels), labels.to(model.device), generator=source)[0].cpu()
    some = torch.cat([(labels == c).nonzero()[:m, 0] for c, m in enumerate(even.tolist())])
    row = fixed(images[some], labels[some])
    return images[yardstick.first_of_each(labels)], {"draws": row}


@contextmanager
def _watched() -> Iterator[dict[str, float | None]]:
    """Gives ``peak_mb``: memory above what was held before, at most, while the block ran."""
    used: dict[str, float | None] = {"peak_mb": None}
    reset_peak()
    before = memory()
    yield used
    after = memory()
    if before is not None and after is not None:
        used["peak_mb"] = after[1] - before[0]


def _likeness(yardstick: ImageYardstick, images: Tensor, seed: int) -> Entry:
    kid, support = yardstick.likeness(images, seed=seed % 2**32)
    return {
        "kid": kid.mean,
        **support._asdict(),
        "authentic_image": yardstick.authentic(images),
        "authentic_image_fresh": yardstick.authentic_fresh,
    }


def milliseconds(
    draw: Callable[[int, torch.Generator], None], device: torch.device
) -> dict[str, float]:
    """Per image, to draw a batch of each size, by its size.

    Args:
        draw: makes as many images, with a generator.
        device: of the generator.
    """
    found = {}
    for batch in BATCHES:
        source = generator(derive_seed(0, "rivals"), "speed", device=device)
        times: list[float] = []
        while len(times) < CALLS + 1 and not (times and times[-1] > LONG):
            start = time.perf_counter()
            draw(batch, source)
            times.append(time.perf_counter() - start)
        found[str(batch)] = 1000 * statistics.median(times[1:] or times) / batch  # one warms up
    return found


def _size(save: Callable[[Path], None], kind: str) -> Entry:
    """Numbers that are no indices, in the file of a model, and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save(path)
        stored = path.stat().st_size
        tensors, _ = read_tensors(path, kind)
    numbers = sum(t.numel() for t in tensors.values() if t.is_floating_point())
    return {"parameters": numbers, "stored_bytes": stored}

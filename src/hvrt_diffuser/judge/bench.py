"""The one instrument for runs, experiments, whole models and folders: draws, and their measures.

Classes come at random, and chance alone puts Fréchet distances of 10,000 digits a few tenths apart.
So of each class the first draws are taken, as many as its share of the training images asks for.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents, encode_images
from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, classify
from hvrt_diffuser.common.files import read_tensors, tensors_below
from hvrt_diffuser.common.machine import memory, reset_peak
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import CHUNK, Drawn, HVRTDiffuser
from hvrt_diffuser.judge.attack import attack, copying
from hvrt_diffuser.judge.examine import untrained_extractors
from hvrt_diffuser.judge.extractors import Extractor, pixels
from hvrt_diffuser.judge.likeness import likeness
from hvrt_diffuser.judge.rows import Row, even_labels
from hvrt_diffuser.judge.tstr import Task, train_and_test
from hvrt_diffuser.metrics import (
    KernelDistance,
    Manifold,
    Metric,
    attribution,
    authenticity,
    frechet_distance,
    inception_score,
    kernel_distance,
    kolmogorov_smirnov,
    manifold,
    named_metrics,
    nearest,
)

__all__ = ["GRADED", "MEASURES", "Bench", "Drawing", "cost", "milliseconds", "watched"]

FLOOR_SETS = 5
BATCHES = (1, 64, 1024)
CALLS = 5  # of each batch size, of which the median counts
LONG = 2.0  # seconds of a call that is not repeated: a warm-up is a small part of it

Array = NDArray[np.float32]


class Drawing(NamedTuple):
    """What was drawn of a model.

    Attributes:
        drawn: n draws of all classes in exactly their real proportions; of a model without
            classes, n draws in its own.
        even: n draws of given classes, even by class, for each classifier of TSTR in turn; of a
            whole model a single set, and of a model without classes none.
    """

    drawn: Drawn
    even: tuple[Drawn, ...]


class Bench:
    """Real images and their judge, prepared once: features and distances that stay.

    With an autoencoder, distances among images are of decoded ones, since a decoder's blur is not
    novelty, and latents are measured as well.

    Args:
        train: training images.
        test: test images.
        judge: gives the features of the Fréchet distance.
        n: draws of a set, and training images of a classifier.
        compared: draws, of these, whose nearest training images are looked for.
        device: where to compute.
        autoencoder: encodes both sets of images; None for whole models and folders.

    Attributes:
        latents: of the training images, float32 (m, d); of an autoencoder alone, like the next two.
        deviations: of the posteriors of a VAE of the same (m, d); None of any other.
        held_out: latents of the test images, float32 (k, d).
    """

    latents: Tensor
    deviations: Tensor | None
    held_out: Tensor

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        judge: Classifier,
        *,
        n: int,
        compared: int,
        device: torch.device,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        self.train, self.test, self.judge, self.autoencoder = train, test, judge, autoencoder
        self.n, self.compared, self.device = n, compared, device
        self._quota = _proportional(torch.bincount(train.labels), n)
        # At random: the first test images may be of one class, or of other writers than the rest.
        order = torch.randperm(len(test), generator=generator(0, "frontier", "fresh"))
        self._fresh = order[:compared]
        if autoencoder is not None:
            self.latents, self.deviations = encode_images(autoencoder, train.images, device)
            self.held_out, _ = encode_images(autoencoder, test.images, device)

    # ---- what stays

    @cached_property
    def seen(self) -> Tensor:
        """What is looked for among: the training images, after the decoder if there is one."""
        return self.train.images if self.autoencoder is None else self._decode(self.latents)

    @cached_property
    def reconstructed(self) -> Tensor:
        """The test images, likewise."""
        return self.test.images if self.autoencoder is None else self._decode(self.held_out)

    def _decode(self, latents: Tensor) -> Tensor:
        assert self.autoencoder is not None
        return decode_latents(self.autoencoder, latents, self.device)

    def _extract(self, images: Tensor) -> Array:
        features: Array = classify(self.judge, images, self.device)[0].numpy()
        return features

    @cached_property
    def features(self) -> Array:
        """Of the test images."""
        return self._extract(self.test.images)

    @cached_property
    def seen_pixels(self) -> Array:
        """Of the training images, decoded where there is a decoder."""
        return pixels(self.seen)

    @cached_property
    def seen_features(self) -> Array:
        """The judge's features of the same."""
        return self._extract(self.seen)

    @cached_property
    def seen_latents(self) -> Array:
        """Training latents, ordered by class."""
        rows: Array = self.latents[torch.argsort(self.train.labels, stable=True)].numpy()
        return rows

    @cached_property
    def extractors(self) -> dict[str, Extractor]:
        """Of likeness, beside the judge: they were trained on nothing."""
        return untrained_extractors(self.train.images, self.device)

    @cached_property
    def usual(self) -> dict[str, float]:
        """Distances of fresh images to the closest training image, by what is compared."""
        fresh = self.reconstructed[self._fresh]
        found = {
            "image": _distance(pixels(fresh), self.seen_pixels),
            "feature": _distance(self._extract(fresh), self.seen_features),
        }
        if self.autoencoder is not None:
            found["latent"] = _distance(self.held_out[self._fresh].numpy(), self.seen_latents)
        return found

    # ---- draws

    def proportional_labels(self, seed: int) -> Tensor:
        """The classes of a set, in exactly their real proportions and random order; int64 (n,)."""
        order = torch.randperm(self.n, generator=generator(seed, "frontier", "labels"))
        return torch.arange(len(self._quota)).repeat_interleave(self._quota)[order]

    def first_of_each(self, labels: Tensor) -> Tensor:
        """The places of the first labels of each class, as many as a set has, in their order."""
        places = [(labels == c).nonzero()[:m, 0] for c, m in enumerate(self._quota.tolist())]
        return torch.cat(places).sort().values

    def draw(
        self, model: HVRTDiffuser, seed: int, *, conditional: bool = False, classifiers: int = 0
    ) -> Drawing:
        """Draw from a model.

        Args:
            model: on this device.
            seed: of the draws.
            conditional: whether a latent sampler is asked for the classes; else they come. A whole
                model is always asked, since 10,000 draws of a diffusion take twenty minutes.
            classifiers: of TSTR, for which there are draws as well.
        """
        source = generator(seed, "frontier", "draws", device=model.device)
        if model.autoencoder is None:
            return self._draw_images(model, seed, source)
        wanted = self.proportional_labels(seed).to(model.device) if conditional else None
        parts = [model.draw(self.n, wanted, generator=source)]
        drawn = parts[0]
        kept = self.first_of_each(drawn.labels)
        while len(kept) < self.n:
            parts.append(model.draw(max(1, self.n // 10), generator=source))
            drawn = _joined(parts)
            kept = self.first_of_each(drawn.labels)
        even = tuple(
            self._draw_even(model, derive_seed(seed, "tstr", place)) for place in range(classifiers)
        )
        return Drawing(_taken(drawn, kept), even)

    def _draw_even(self, model: HVRTDiffuser, seed: int) -> Drawn:
        source = generator(seed, "generation", device=model.device)
        chunks = even_labels(self.n, model.n_classes).split(CHUNK)
        return _joined([model.draw(len(each), each, generator=source) for each in chunks])

    def _draw_images(self, model: HVRTDiffuser, seed: int, source: torch.Generator) -> Drawing:
        """Both sets from the same draws, of a whole model that knows all classes."""
        n, k = self.n, model.n_classes
        if k != len(self.train.class_names):
            return Drawing(model.draw(n, generator=source), ())
        even = torch.bincount(even_labels(n, k), minlength=k)
        most = torch.maximum(even, self._quota)
        labels = torch.arange(k).repeat_interleave(most)
        labels = labels[torch.randperm(len(labels), generator=generator(seed, "rivals", "labels"))]
        drawn = model.draw(len(labels), labels.to(model.device), generator=source)
        some = torch.cat([(labels == c).nonzero()[:m, 0] for c, m in enumerate(even.tolist())])
        return Drawing(_taken(drawn, self.first_of_each(labels)), (_taken(drawn, some),))

    def packed(self, drawing: Drawing) -> dict[str, Tensor]:
        """What the draws can be remade from: latents, or the images of a whole model."""
        found: dict[str, Tensor] = {}
        for place, drawn in enumerate((drawing.drawn, *drawing.even)):
            fields = drawn._asdict()
            del fields["images" if drawn.latents is not None else "latents"]
            found |= {f"{place}.{k}": v for k, v in fields.items() if v is not None}
        return found

    def unpacked(self, tensors: Mapping[str, Tensor]) -> Drawing:
        """The opposite of :meth:`packed`."""

        def remade(labels: Tensor, **fields: Tensor) -> Drawn:
            latents = fields.get("latents")
            images = fields["images"] if latents is None else self._decode(latents)
            return Drawn(images, labels, latents, fields.get("rows"))

        sets = range(1 + max(int(name.partition(".")[0]) for name in tensors))
        first, *even = (remade(**tensors_below(tensors, f"{place}.")) for place in sets)
        return Drawing(first, tuple(even))

    # ---- measures

    def measure(
        self,
        drawing: Drawing | Tensor,
        seed: int,
        names: Collection[str] | None = None,
        metrics: Sequence[str] = (),
    ) -> dict[str, Any]:
        """What draws amount to.

        Args:
            drawing: of :meth:`draw`, or images alone, uint8 (n, c, h, w): a folder's.
            seed: of subsets of them.
            names: of those that are wanted, of :data:`MEASURES`, :data:`GRADED` and ``metrics``;
                None takes all but the graded.
            metrics: of the judge's features, measured as well, see
                :func:`hvrt_diffuser.metrics.named_metrics`.

        Returns:
            By name a number, or several of a metric that gives several; None where a measure has no
            meaning, such as one of latents without any.
        """
        if isinstance(drawing, Tensor):
            nothing = torch.zeros(len(drawing), dtype=torch.long)
            drawing = Drawing(Drawn(drawing, nothing, None, None), ())
        seen = _Seen(self, drawing, seed)
        every: dict[str, Callable[[_Seen], Any]] = {**MEASURES, **GRADED}
        every |= {
            key: partial(_Seen.metric, key=key, metric=metric)
            for key, metric in named_metrics(metrics).items()
        }
        wanted = every.keys() - GRADED.keys() if names is None else names
        return {name: measure(seen) for name, measure in every.items() if name in wanted}

    def frechet(self, images: Tensor) -> float:
        """The Fréchet distance of uint8 images (n, c, h, w) to the test images."""
        return frechet_distance(self._extract(images), self.features)

    def utility(
        self, rows: Mapping[str, Row], classifier: ClassifierOptions, *, seeds: int, seed: int
    ) -> dict[str, float]:
        """The accuracy on real test images, %, of classifiers trained on ``n`` images of each row.

        Args:
            rows: by name.
            classifier: the same for every row.
            seeds: classifiers of a row, whose accuracies are averaged.
            seed: of all of them.
        """
        tasks = [Task(name, self.n, partial(lambda row: row, row)) for name, row in rows.items()]
        predictions = train_and_test(
            tasks, self.test, classifier, seeds=seeds, seed=seed, device=self.device, origin={}
        )
        right: dict[str, list[float]] = {name: [] for name in rows}
        for (name, _, _), predicted in predictions.tested.items():
            right[name].append(100 * (predicted == predictions.labels).double().mean().item())
        return {name: statistics.fmean(values) for name, values in right.items()}

    def tstr(
        self, drawing: Drawing, classifier: ClassifierOptions, *, seeds: int, seed: int
    ) -> float | None:
        """:meth:`utility` of the even draws; None for a model without classes."""
        if not drawing.even:
            return None
        own = {derive_seed(seed, "tstr", place): each for place, each in enumerate(drawing.even)}

        def row(own_seed: int) -> tuple[Tensor, Tensor]:
            drawn = own.get(own_seed, drawing.even[0])
            return drawn.images, drawn.labels

        return self.utility({"draws": row}, classifier, seeds=seeds, seed=seed)["draws"]

    def floors(self, seed: int) -> dict[str, float]:
        """What no model can be expected to fall below.

        Returns:
            ``real_floor``, the Fréchet distance of training images, and of decoded ones
            (``copy_floor``) means over several sets of ``n``, since every excess is measured from
            them; ``reconstruction_floor``, of decoded test images; ``authentic_fresh``, the
            ``authentic_image`` of test images, which are no copies.
        """
        source = generator(seed, "frontier", "floors")
        real, copied = [], []
        for _ in range(FLOOR_SETS):
            order = torch.randperm(len(self.train), generator=source)
            some = order[self.first_of_each(self.train.labels[order])]
            real.append(self.frechet(self.train.images[some]))
            if self.autoencoder is not None:
                copied.append(self.frechet(self.seen[some]))
        fresh = authenticity(pixels(self.reconstructed[self._fresh]), self.seen_pixels)
        found = {"real_floor": statistics.fmean(real), "authentic_fresh": fresh}
        if copied:
            found["reconstruction_floor"] = self.frechet(self.reconstructed)
            found["copy_floor"] = statistics.fmean(copied)
        return found


class _Seen:
    """Draws, and what several measures need of them."""

    def __init__(self, bench: Bench, drawing: Drawing, seed: int) -> None:
        self.bench, self.drawing, self.drawn, self._seed = bench, drawing, drawing.drawn, seed
        self.some = slice(bench.compared)

    @cached_property
    def _classified(self) -> tuple[Tensor, Tensor]:
        return classify(self.bench.judge, self.drawn.images, self.bench.device)

    @property
    def features(self) -> Array:
        features: Array = self._classified[0].numpy()
        return features

    @property
    def probabilities(self) -> Array:
        probabilities: Array = self._classified[1].numpy()
        return probabilities

    @cached_property
    def pixels(self) -> Array:
        """Of the draws whose nearest training images are looked for."""
        return pixels(self.drawn.images[self.some])

    @cached_property
    def kid(self) -> KernelDistance:
        return kernel_distance(self.bench.features, self.features, seed=self._seed % 2**32)

    @cached_property
    def manifold(self) -> Manifold:
        return manifold(self.bench.features, self.features)

    @cached_property
    def likeness(self) -> dict[str, dict[str, Any]]:
        """By extractor, see :func:`hvrt_diffuser.judge.likeness.likeness`."""
        bench = self.bench
        return likeness(self.drawn.images, bench.test.images, bench.extractors, seed=self._seed)

    @cached_property
    def membership(self) -> dict[str, Any]:
        """After all draws are released, see :func:`hvrt_diffuser.judge.attack`."""
        train, test = self.bench.train.images, self.bench.test.images
        return attack(train, test, self.drawn.images, seed=self._seed)

    @cached_property
    def copies(self) -> dict[str, Any]:
        """By registered distances, see :func:`hvrt_diffuser.judge.copying`."""
        train, test = self.bench.train.images, self.bench.test.images
        return copying(train, test, self.drawn.images, seed=self._seed)

    def metric(self, key: str, metric: Metric) -> Any:
        """A metric by name, against the test images."""
        real, synthetic = self.bench.features, self.features
        if metric.takes == "probabilities":
            judge, images = self.bench.judge, self.bench.test.images
            real = classify(judge, images, self.bench.device)[1].numpy()
            synthetic = self.probabilities
        seed = derive_seed(self._seed, "evaluation", metric.stream or key)
        return metric(real, synthetic, seed=seed)

    def dcr(self, what: str, draws: Array, training: Array) -> float:
        return _distance(draws, training) / self.bench.usual[what]

    def dcr_latent(self) -> float | None:
        if self.drawn.latents is None:
            return None
        return self.dcr("latent", self.drawn.latents[self.some].numpy(), self.bench.seen_latents)

    def attribution(self) -> float | None:
        if self.drawn.latents is None or self.drawn.rows is None:
            return None
        some, rows = (each[self.some].numpy() for each in (self.drawn.latents, self.drawn.rows))
        return attribution(some, rows, self.bench.seen_latents)

    def ks(self) -> float | None:
        if self.drawn.latents is None:
            return None
        held_out = self.bench.held_out.numpy()
        return float(kolmogorov_smirnov(self.drawn.latents.numpy(), held_out).mean())

    def agreement(self) -> float | None:
        if not self.drawing.even:
            return None
        even = self.drawing.even[0]
        _, probabilities = classify(self.bench.judge, even.images, self.bench.device)
        return (probabilities.argmax(1) == even.labels).double().mean().item()


MEASURES: dict[str, Callable[[_Seen], float | None]] = {
    "fd_classifier": lambda seen: frechet_distance(seen.features, seen.bench.features),
    "dcr_image": lambda seen: seen.dcr("image", seen.pixels, seen.bench.seen_pixels),
    "dcr_feature": lambda seen: seen.dcr(
        "feature", seen.features[seen.some], seen.bench.seen_features
    ),
    "dcr_latent": _Seen.dcr_latent,
    "attribution": _Seen.attribution,
    "authentic_image": lambda seen: authenticity(seen.pixels, seen.bench.seen_pixels),
    "ks": _Seen.ks,
    "inception_score": lambda seen: inception_score(seen.probabilities),
    "kid": lambda seen: seen.kid.mean,
    "precision": lambda seen: seen.manifold.precision,
    "recall": lambda seen: seen.manifold.recall,
    "density": lambda seen: seen.manifold.density,
    "coverage": lambda seen: seen.manifold.coverage,
    "agreement": _Seen.agreement,
}
"""What is measured of draws, by name."""

GRADED: dict[str, Callable[[_Seen], float | None]] = {
    "e_random": lambda seen: seen.likeness["random"]["e"],
    "e_statistics": lambda seen: seen.likeness["statistics"]["e"],
    "membership_auc": lambda seen: seen.membership["auc"],
    "membership_auc_low": lambda seen: seen.membership["auc_low"],
    "membership_auc_high": lambda seen: seen.membership["auc_high"],
    "tpr_at_1": lambda seen: seen.membership["tpr_at_1"],
    "tpr_low": lambda seen: seen.membership["tpr_low"],
    "tpr_high": lambda seen: seen.membership["tpr_high"],
    "tail": lambda seen: seen.copies["tail"],
    "a": lambda seen: seen.copies["a"],
    "ct": lambda seen: seen.copies["ct"],
}
"""What a verdict rests on, which takes longer: likeness in what learned nothing, whether somebody
could find out who was in the training set, and registered distances."""


# ---- what a model costs


@contextmanager
def watched() -> Iterator[dict[str, float | None]]:
    """Gives ``peak_mb``: memory above what was held before, at most, while the block ran."""
    used: dict[str, float | None] = {"peak_mb": None}
    reset_peak()
    before = memory()
    yield used
    after = memory()
    if before is not None and after is not None:
        used["peak_mb"] = after[1] - before[0]


def milliseconds(model: HVRTDiffuser) -> dict[str, float]:
    """Per image, to draw a batch of each size, by its size."""
    found = {}
    for batch in BATCHES:
        source = generator(derive_seed(0, "rivals"), "speed", device=model.device)
        times: list[float] = []
        while len(times) < CALLS + 1 and not (times and times[-1] > LONG):
            start = time.perf_counter()
            model.draw(batch, generator=source)
            times.append(time.perf_counter() - start)
        found[str(batch)] = 1000 * statistics.median(times[1:] or times) / batch  # one warms up
    return found


def cost(model: HVRTDiffuser) -> dict[str, Any]:
    """Times of an image; numbers that are no indices in the sampler's file, and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model.sampler.save(path)
        stored = path.stat().st_size
        tensors, _ = read_tensors(path, model.sampler.file_kind)
    return {
        "ms_per_image": milliseconds(model),
        "parameters": sum(t.numel() for t in tensors.values() if t.is_floating_point()),
        "stored_bytes": stored,
    }


def _distance(queries: Array, reference: Array) -> float:
    """The median distance of rows (n, d) to the nearest of others (m, d)."""
    return float(np.median(nearest(queries, reference)[1]))


def _taken(drawn: Drawn, rows: Tensor) -> Drawn:
    return Drawn(*(None if each is None else each[rows] for each in drawn))  # type: ignore[arg-type]


def _joined(parts: Sequence[Drawn]) -> Drawn:
    columns = zip(*parts, strict=True)
    return Drawn(*(None if c[0] is None else torch.cat(c) for c in columns))  # type: ignore[arg-type]


def _proportional(counts: Tensor, n: int) -> Tensor:
    """Whole numbers that sum to n and stand as ``counts`` do, by largest remainders; int64 (k,)."""
    exact = counts.double() * n / counts.sum()
    whole = exact.floor().long()
    largest = (exact - whole).argsort(descending=True, stable=True)[: n - int(whole.sum())]
    whole[largest] += 1
    return whole

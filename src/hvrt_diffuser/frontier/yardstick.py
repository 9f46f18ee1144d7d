"""What a sampler is measured against, prepared once: features, distances and images that stay."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, classify
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.judge import Extractor, Task, classifier_features, pixels, train_and_test
from hvrt_diffuser.judge.rows import Row, decoded
from hvrt_diffuser.metrics import (
    KernelDistance,
    Manifold,
    attribution,
    frechet_distance,
    inception_score,
    kernel_distance,
    kolmogorov_smirnov,
    manifold,
    nearest,
)
from hvrt_diffuser.samplers import LatentSampler
from hvrt_diffuser.seeding import generator

__all__ = ["Drawn", "Point", "Yardstick"]

FLOOR_SETS = 5
KID_SUBSET = 1000


@dataclass(frozen=True)
class Point:
    """Where a sampler stands, in draws of all classes in exactly their real proportions.

    Attributes:
        fd: Fréchet distance of the decoded images to the test images, in the judge's features.
        dcr_image: distance to the closest training record, relative to that of test images, among
            decoded images.
        dcr_feature: the same among the judge's features of these images, which are alike for an
            image and one that is moved or turned a little.
        dcr_latent: the same among latents.
        attribution: share of draws whose nearest training latent is the one they started from;
            None for a sampler that starts from none.
        inception_score: of the images, in the judge's classes.
        ks: Kolmogorov-Smirnov statistic of the draws and the latents of test images, averaged over
            dimensions.
        seconds: to draw and decode ``n`` images.
    """

    fd: float
    dcr_image: float
    dcr_feature: float
    dcr_latent: float
    attribution: float | None
    inception_score: float
    ks: float
    seconds: float


@dataclass(frozen=True)
class Drawn:
    """Draws of all classes in exactly their real proportions.

    Attributes:
        latents: (n, d).
        rows: int64 (n,), the training latents that they started from, where they are ordered by
            class; None for a sampler that starts from none.
        images: uint8 (n, c, h, w), decoded.
        seconds: to draw and decode them.
    """

    latents: Tensor
    rows: Tensor | None
    images: Tensor
    seconds: float


class Yardstick:
    """The real data that every point is measured against.

    Samplers draw classes at random, and chance alone puts Fréchet distances of 10,000 digits a few
    tenths apart. So of each class the first draws are taken, as many as its share of the training
    images asks for, and the floors are made in the same way.

    Args:
        train: training images and their latents float32 (m, d).
        test: test images and their latents (k, d).
        autoencoder: gave the latents.
        judge: gives the features of the Fréchet distance.
        n: draws of a point.
        compared: draws, of these, whose nearest training images are looked for.
        device: where to decode and to compute features.
    """

    def __init__(
        self,
        train: tuple[LabelledImages, Tensor],
        test: tuple[LabelledImages, Tensor],
        autoencoder: Autoencoder,
        judge: Classifier,
        *,
        n: int,
        compared: int,
        device: torch.device,
    ) -> None:
        self.train, self.latents = train
        self.test, self.held_out = test
        self.autoencoder = autoencoder
        self.n, self.compared, self.device = n, compared, device
        self._judge = judge
        self._extract: Extractor = classifier_features(judge, device)
        self._features = self._extract(self.test.images)
        self._quota = _proportional(torch.bincount(self.train.labels), n)
        order = torch.argsort(self.train.labels, stable=True)
        self._rows = self.latents[order].numpy()
        decoded = decode_latents(autoencoder, self.latents, device)
        self._decoded = pixels(decoded)
        self._seen = self._extract(decoded)
        fresh = decode_latents(autoencoder, self.held_out, device)
        self._usual_image = self._distance(pixels(fresh[:compared]), self._decoded)
        self._usual_feature = self._distance(self._extract(fresh[:compared]), self._seen)
        self._usual_latent = self._distance(self.held_out.numpy()[:compared], self._rows)

    def likeness(self, images: Tensor, *, seed: int) -> tuple[KernelDistance, Manifold]:
        """KID and the manifold measures of uint8 images (n, c, h, w) against the test images."""
        features = self._extract(images)
        size = min(KID_SUBSET, len(features), len(self._features))
        distance = kernel_distance(self._features, features, subset_size=size, seed=seed)
        return distance, manifold(self._features, features)

    def frechet(self, images: Tensor) -> float:
        """The Fréchet distance of uint8 images (n, c, h, w) to the test images."""
        return frechet_distance(self._extract(images), self._features)

    def measure(self, sampler: LatentSampler, seed: int, *, conditional: bool = False) -> Point:
        """Draw, decode and measure; ``conditional`` asks for the classes, and else they come."""
        return self.place(self.draw(sampler, seed, conditional=conditional))

    def place(self, drawn: Drawn) -> Point:
        """Where draws stand."""
        some = drawn.latents[: self.compared].numpy()
        owned = None
        if drawn.rows is not None:
            owned = attribution(some, drawn.rows[: self.compared].numpy(), self._rows)
        features, probabilities = classify(self._judge, drawn.images, self.device)
        found = features.numpy()
        return Point(
            fd=frechet_distance(found, self._features),
            dcr_image=self._distance(pixels(drawn.images[: self.compared]), self._decoded)
            / self._usual_image,
            dcr_feature=self._distance(found[: self.compared], self._seen) / self._usual_feature,
            dcr_latent=self._distance(some, self._rows) / self._usual_latent,
            attribution=owned,
            inception_score=inception_score(probabilities.numpy()),
            ks=float(kolmogorov_smirnov(drawn.latents.numpy(), self.held_out.numpy()).mean()),
            seconds=drawn.seconds,
        )

    def draw(self, sampler: LatentSampler, seed: int, *, conditional: bool = False) -> Drawn:
        """Draw and decode, by the quota of each class; see :meth:`measure`."""
        source = generator(seed, "frontier", "draws", device=sampler.device)
        wanted = None
        if conditional:
            order = torch.randperm(self.n, generator=generator(seed, "frontier", "labels"))
            classes = torch.arange(len(self._quota))
            wanted = classes.repeat_interleave(self._quota)[order].to(sampler.device)
        start = time.perf_counter()
        draws = sampler.draw(self.n, wanted, generator=source)
        images = decode_latents(self.autoencoder, draws.latents, self.device)
        seconds = time.perf_counter() - start
        parts = [(draws, images)]
        kept = _first_of_each(draws.labels.cpu(), self._quota)
        while len(kept) < int(self._quota.sum()):
            draws = sampler.draw(max(1, self.n // 10), generator=source)
            parts.append((draws, decode_latents(self.autoencoder, draws.latents, self.device)))
            labels = torch.cat([d.labels for d, _ in parts]).cpu()
            kept = _first_of_each(labels, self._quota)
        rows = None
        if draws.rows is not None:
            rows = torch.cat([d.rows for d, _ in parts if d.rows is not None]).cpu()[kept]
        latents = torch.cat([d.latents for d, _ in parts]).cpu()[kept]
        return Drawn(latents, rows, torch.cat([images for _, images in parts])[kept], seconds)

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

    def score(
        self,
        sampler: LatentSampler,
        classifier: ClassifierOptions,
        *,
        classifiers: int,
        seed: int,
        conditional: bool = False,
    ) -> dict[str, float | None]:
        """Fidelity, novelty and utility: the fields of :class:`Point`, and ``tstr``, %.

        A classifier is trained on draws of given classes in any case.

        Args:
            sampler: on any device.
            classifier: of TSTR.
            classifiers: whose accuracies are averaged.
            seed: of draws and classifiers.
            conditional: see :meth:`measure`.
        """
        sampler = sampler.to(self.device)
        rows = {"draws": decoded(self.autoencoder, sampler, self.n, self.device)}
        return {
            **asdict(self.measure(sampler, seed, conditional=conditional)),
            "tstr": self.utility(rows, classifier, seeds=classifiers, seed=seed)["draws"],
        }

    def floors(self, seed: int) -> dict[str, float]:
        """Fréchet distances that no sampler can be expected to fall below.

        Those of training images are means over several sets of ``n``, since every excess is
        measured from them.
        """
        source = generator(seed, "frontier", "floors")
        real, copied = [], []
        for _ in range(FLOOR_SETS):
            order = torch.randperm(len(self.train), generator=source)
            some = order[_first_of_each(self.train.labels[order], self._quota)]
            real.append(self.frechet(self.train.images[some]))
            latents = self.latents[some]
            copied.append(self.frechet(decode_latents(self.autoencoder, latents, self.device)))
        reconstructed = decode_latents(self.autoencoder, self.held_out, self.device)
        return {
            "real_floor": statistics.fmean(real),
            "reconstruction_floor": self.frechet(reconstructed),
            "copy_floor": statistics.fmean(copied),
        }

    @staticmethod
    def _distance(queries: np.ndarray, reference: np.ndarray) -> float:
        return float(np.median(nearest(queries, reference)[1]))


def _proportional(counts: Tensor, n: int) -> Tensor:
    """Whole numbers that sum to n and stand as ``counts`` do, by largest remainders; int64 (k,)."""
    exact = counts.double() * n / counts.sum()
    whole = exact.floor().long()
    largest = (exact - whole).argsort(descending=True, stable=True)[: n - int(whole.sum())]
    whole[largest] += 1
    return whole


def _first_of_each(labels: Tensor, quota: Tensor) -> Tensor:
    """The places of the first labels of each class, up to its quota, in their order."""
    places = [(labels == c).nonzero()[:m, 0] for c, m in enumerate(quota.tolist())]
    return torch.cat(places).sort().values

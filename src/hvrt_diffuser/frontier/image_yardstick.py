"""What images are measured against, prepared once: features and distances that stay."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, classify
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Extractor, Task, classifier_features, pixels, train_and_test
from hvrt_diffuser.judge.rows import Row
from hvrt_diffuser.metrics import (
    KernelDistance,
    Manifold,
    authenticity,
    frechet_distance,
    inception_score,
    kernel_distance,
    manifold,
    nearest,
)

__all__ = ["ImagePoint", "ImageYardstick", "distance"]

KID_SUBSET = 1000


@dataclass(frozen=True)
class ImagePoint:
    """Where images stand.

    Attributes:
        fd: Fréchet distance to the test images, in the judge's features.
        dcr_image: distance to the closest training record, relative to that of test images, among
            images.
        dcr_feature: the same among the judge's features of these images, which are alike for an
            image and one that is moved or turned a little.
        inception_score: of the images, in the judge's classes.
    """

    fd: float
    dcr_image: float
    dcr_feature: float
    inception_score: float


class ImageYardstick:
    """The real images that every set of images is measured against.

    Classes come at random, and chance alone puts Fréchet distances of 10,000 digits a few tenths
    apart. So of each class the first images are taken, as many as its share of the training images
    asks for.

    Args:
        train: training images.
        test: test images.
        judge: gives the features of the Fréchet distance.
        n: images of a set.
        compared: images, of these, whose nearest training images are looked for.
        device: where to compute features.
        seen: uint8 (m, c, h, w), what is looked for among the training images; None is these
            themselves, and where all images pass a decoder, these after it.
        fresh: the same of the test images.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        judge: Classifier,
        *,
        n: int,
        compared: int,
        device: torch.device,
        seen: Tensor | None = None,
        fresh: Tensor | None = None,
    ) -> None:
        self.train, self.test = train, test
        self.n, self.compared, self.device = n, compared, device
        self._judge = judge
        self._extract: Extractor = classifier_features(judge, device)
        self._features = self._extract(test.images)
        self._quota = _proportional(torch.bincount(train.labels), n)
        seen = train.images if seen is None else seen
        # At random: the first test images may be of one class, or of other writers than the rest.
        order = torch.randperm(len(test), generator=generator(0, "frontier", "fresh"))
        self._fresh_rows = order[:compared]
        fresh = (test.images if fresh is None else fresh)[self._fresh_rows]
        self._seen_image = pixels(seen)
        self._seen_feature = self._extract(seen)
        self._fresh_image = pixels(fresh)
        self._usual_image = distance(self._fresh_image, self._seen_image)
        self._usual_feature = distance(self._extract(fresh), self._seen_feature)

    def likeness(self, images: Tensor, *, seed: int) -> tuple[KernelDistance, Manifold]:
        """KID and the manifold measures of uint8 images (n, c, h, w) against the test images."""
        features = self._extract(images)
        size = min(KID_SUBSET, len(features), len(self._features))
        found = kernel_distance(self._features, features, subset_size=size, seed=seed)
        return found, manifold(self._features, features)

    def frechet(self, images: Tensor) -> float:
        """The Fréchet distance of uint8 images (n, c, h, w) to the test images."""
        return frechet_distance(self._extract(images), self._features)

    def place_images(self, images: Tensor) -> ImagePoint:
        """Where uint8 images (n, c, h, w) stand."""
        features, probabilities = classify(self._judge, images, self.device)
        found, some = features.numpy(), slice(self.compared)
        return ImagePoint(
            fd=frechet_distance(found, self._features),
            dcr_image=distance(pixels(images[some]), self._seen_image) / self._usual_image,
            dcr_feature=distance(found[some], self._seen_feature) / self._usual_feature,
            inception_score=inception_score(probabilities.numpy()),
        )

    def authentic(self, images: Tensor) -> float:
        """AuthPct, as a share, of uint8 images (n, c, h, w): the first of them, among images."""
        return authenticity(pixels(images[: self.compared]), self._seen_image)

    @cached_property
    def authentic_fresh(self) -> float:
        """The same of test images, which are no copies."""
        return authenticity(self._fresh_image, self._seen_image)

    def proportional_labels(self, seed: int) -> Tensor:
        """The classes of a set, in exactly their real proportions and random order; int64 (n,)."""
        order = torch.randperm(self.n, generator=generator(seed, "frontier", "labels"))
        return torch.arange(len(self._quota)).repeat_interleave(self._quota)[order]

    def first_of_each(self, labels: Tensor) -> Tensor:
        """The places of the first labels of each class, as many as a set has, in their order."""
        places = [(labels == c).nonzero()[:m, 0] for c, m in enumerate(self._quota.tolist())]
        return torch.cat(places).sort().values

    def collect(
        self, draw: Callable[[int, Tensor | None], tuple[Tensor, ...]], wanted: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Draw until there is a set.

        Args:
            draw: gives labels int64 (m,) and other tensors (m, ...) for m and, where they are
                asked for, the labels.
            wanted: labels of the first call.

        Returns:
            The other tensors, of the rows that are in the set.
        """
        parts = [draw(self.n, wanted)]
        kept = self.first_of_each(parts[0][0])
        while len(kept) < self.n:
            parts.append(draw(max(1, self.n // 10), None))
            kept = self.first_of_each(torch.cat([part[0] for part in parts]))
        return tuple(torch.cat(column)[kept] for column in list(zip(*parts, strict=True))[1:])

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


def distance(queries: np.ndarray, reference: np.ndarray) -> float:
    """The median distance of rows (n, d) to the nearest of others (m, d)."""
    return float(np.median(nearest(queries, reference)[1]))


def _proportional(counts: Tensor, n: int) -> Tensor:
    """Whole numbers that sum to n and stand as ``counts`` do, by largest remainders; int64 (k,)."""
    exact = counts.double() * n / counts.sum()
    whole = exact.floor().long()
    largest = (exact - whole).argsort(descending=True, stable=True)[: n - int(whole.sum())]
    whole[largest] += 1
    return whole

"""What a sampler is measured against, prepared once: what images are, and latents beside them."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.classifiers import Classifier, ClassifierOptions
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier.image_yardstick import ImagePoint, ImageYardstick, distance
from hvrt_diffuser.judge.rows import decoded
from hvrt_diffuser.metrics import attribution, kolmogorov_smirnov
from hvrt_diffuser.samplers import LatentSampler

__all__ = ["Drawn", "Point", "Yardstick"]

FLOOR_SETS = 5


@dataclass(frozen=True)
class Point(ImagePoint):
    """Where a sampler stands, in draws of all classes in exactly their real proportions.

    Attributes:
        dcr_latent: distance to the closest training record, relative to that of test images, among
            latents.
        attribution: share of draws whose nearest training latent is the one they started from;
            None for a sampler that starts from none.
        ks: Kolmogorov-Smirnov statistic of the draws and the latents of test images, averaged over
            dimensions.
        seconds: to draw and decode ``n`` images.
    """

    dcr_latent: float
    attribution: float | None
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


class Yardstick(ImageYardstick):
    """The real data that every point is measured against.

    Distances among images are of decoded ones: a decoder's blur is not novelty.

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
        self.latents, self.held_out, self.autoencoder = train[1], test[1], autoencoder
        super().__init__(
            train[0],
            test[0],
            judge,
            n=n,
            compared=compared,
            device=device,
            seen=decode_latents(autoencoder, self.latents, device),
            fresh=decode_latents(autoencoder, self.held_out, device),
        )
        order = torch.argsort(self.train.labels, stable=True)
        self._rows = self.latents[order].numpy()
        self._usual_latent = distance(self.held_out[self._fresh_rows].numpy(), self._rows)

    def measure(self, sampler: LatentSampler, seed: int, *, conditional: bool = False) -> Point:
        """Draw, decode and measure; ``conditional`` asks for the classes, and else they come."""
        return self.place(self.draw(sampler, seed, conditional=conditional))

    def place(self, drawn: Drawn) -> Point:
        """Where draws stand."""
        some = drawn.latents[: self.compared].numpy()
        owned = None
        if drawn.rows is not None:
            owned = attribution(some, drawn.rows[: self.compared].numpy(), self._rows)
        return Point(
            **asdict(self.place_images(drawn.images)),
            dcr_latent=distance(some, self._rows) / self._usual_latent,
            attribution=owned,
            ks=float(kolmogorov_smirnov(drawn.latents.numpy(), self.held_out.numpy()).mean()),
            seconds=drawn.seconds,
        )

    def draw(self, sampler: LatentSampler, seed: int, *, conditional: bool = False) -> Drawn:
        """Draw and decode, by the quota of each class; see :meth:`measure`."""
        source = generator(seed, "frontier", "draws", device=sampler.device)
        times = []

        def draw(n: int, wanted: Tensor | None) -> tuple[Tensor, ...]:
            start = time.perf_counter()
            draws = sampler.draw(n, wanted, generator=source)
            images = decode_latents(self.autoencoder, draws.latents, self.device)
            times.append(time.perf_counter() - start)
            rows = () if draws.rows is None else (draws.rows.cpu(),)
            return draws.labels.cpu(), draws.latents.cpu(), images, *rows

        wanted = self.proportional_labels(seed).to(sampler.device) if conditional else None
        latents, images, *rows = self.collect(draw, wanted)
        return Drawn(latents, rows[0] if rows else None, images, times[0])

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
            some = order[self.first_of_each(self.train.labels[order])]
            real.append(self.frechet(self.train.images[some]))
            latents = self.latents[some]
            copied.append(self.frechet(decode_latents(self.autoencoder, latents, self.device)))
        reconstructed = decode_latents(self.autoencoder, self.held_out, self.device)
        return {
            "real_floor": statistics.fmean(real),
            "reconstruction_floor": self.frechet(reconstructed),
            "copy_floor": statistics.fmean(copied),
        }

"""What the autoencoders of a store are measured by."""

from __future__ import annotations

from typing import NamedTuple

import torch

from hvrt_diffuser.autoencoders import TrainingOptions, encode_images
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.frontier import Yardstick
from hvrt_diffuser.sweeps.store import AutoencoderStore

__all__ = ["Prepared", "Yardsticks"]


class Prepared(NamedTuple):
    """What the samplers of an autoencoder are measured by.

    Attributes:
        yardstick: of that autoencoder.
        floors: of the yardstick.
    """

    yardstick: Yardstick
    floors: dict[str, float]


class Yardsticks:
    """Makes the yardstick of an autoencoder; keeps the latest, since many points come by it.

    Args:
        train: training images.
        test: test images.
        judge: gives the features of the Fréchet distance.
        store: of autoencoders of the training images.
        n: draws of a point.
        compared: draws, of these, whose nearest training images are looked for.
        device: where to compute.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        judge: Classifier,
        store: AutoencoderStore,
        *,
        n: int,
        compared: int,
        device: torch.device,
    ) -> None:
        self.train, self.test, self.judge, self.store = train, test, judge, store
        self.n, self.compared, self.device = n, compared, device
        self._latest: tuple[TrainingOptions, int, Prepared] | None = None

    def get(self, options: TrainingOptions, seed: int) -> Prepared:
        """Of the autoencoder of these options and this seed, trained if it is not there."""
        if self._latest is not None and self._latest[:2] == (options, seed):
            return self._latest[2]
        model = self.store.get(options, seed)
        yardstick = Yardstick(
            (self.train, encode_images(model, self.train.images, self.device)[0]),
            (self.test, encode_images(model, self.test.images, self.device)[0]),
            model,
            self.judge,
            n=self.n,
            compared=self.compared,
            device=self.device,
        )
        prepared = Prepared(yardstick, yardstick.floors(seed))
        self._latest = options, seed, prepared
        return prepared

"""What a point of a sweep amounts to: train, fit, draw, decode, and measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import Classifier, ClassifierOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.samplers import HVRTEstimator
from hvrt_diffuser.sweeps.grid import SEED, Grid, Point, Value
from hvrt_diffuser.sweeps.store import AutoencoderStore
from hvrt_diffuser.sweeps.yardsticks import Yardsticks

__all__ = ["Bench", "Blocks"]

Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class Blocks:
    """The options that a sweep changes, as they are where it does not.

    Attributes:
        ae_training: of the autoencoder.
        hvrt_fitting: of the sampler.
    """

    ae_training: TrainingOptions
    hvrt_fitting: HVRTEstimator

    def at(self, values: Mapping[str, Value]) -> Blocks:
        """The options with some values changed.

        Args:
            values: by parameter, such as ``ae_training.beta``.

        Raises:
            InputError: there is no such parameter, or a value is out of range.
        """
        changes: dict[str, dict[str, Value]] = {}
        for name, value in values.items():
            block, _, option = name.partition(".")
            changes.setdefault(block, {})[option] = value
        unknown = sorted(changes.keys() - {"ae_training", "hvrt_fitting"})
        if unknown:
            raise InputError(
                f"a sweep changes {unknown[0]}, expected parameters of ae_training or "
                "hvrt_fitting, such as ae_training.beta: correct hpo in conf/"
            )
        return Blocks(
            _changed("ae_training", self.ae_training, changes),
            _changed("hvrt_fitting", self.hvrt_fitting, changes),
        )

    def check(self, name: str, grid: Grid) -> None:
        """Check the points of a sweep of some name.

        Raises:
            InputError: a point cannot be built; says which, and why.
        """
        for point in grid.points():
            values = {key: value for key, value in point.items() if key != SEED}
            try:
                self.at(values)
            except InputError as error:
                raise InputError(f"the sweep {name} has a point {values}: {error}") from error


def _changed(block: str, options: Options, changes: Mapping[str, Mapping[str, Value]]) -> Options:
    try:
        return type(options).model_validate({**options.model_dump(), **changes.get(block, {})})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, (block, *first["loc"])))
        raise InputError(
            f"{name} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}; correct "
            "it in conf/"
        ) from error


class Bench:
    """Real images and their judge, and the autoencoders that were trained on the former.

    Args:
        train: training images.
        test: test images.
        judge: gives features and inception scores.
        store: of autoencoders of the training images.
        blocks: the options of all points, before their own values.
        classifier: of TSTR.
        n: draws of a point, and training images of its classifiers.
        compared: draws, of these, whose nearest training images are looked for.
        classifiers: trained on the draws of a point.
        seed: of all points, beside their own.
        device: where to compute.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        judge: Classifier,
        store: AutoencoderStore,
        blocks: Blocks,
        classifier: ClassifierOptions,
        *,
        n: int,
        compared: int,
        classifiers: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.yardsticks = Yardsticks(
            train, test, judge, store, n=n, compared=compared, device=device
        )
        self.blocks, self.classifier, self.classifiers = blocks, classifier, classifiers
        self.seed = seed

    @property
    def setting(self) -> dict[str, Any]:
        """What all points share, as JSON."""
        of = self.yardsticks
        return {
            "ae_training": self.blocks.ae_training.model_dump(exclude={"device"}),
            "hvrt_fitting": self.blocks.hvrt_fitting.model_dump(),
            "classifier": self.classifier.model_dump(),
            "judge": of.judge.fingerprint(),
            "images": [fingerprint(of.train), fingerprint(of.test)],
            "n": of.n,
            "compared": of.compared,
            "classifiers": self.classifiers,
            "seed": self.seed,
        }

    def measure(self, point: Point) -> dict[str, float | None]:
        """Fidelity, novelty and utility of HVRT at a point, and what its autoencoder allows for."""
        blocks = self.blocks.at({name: value for name, value in point.items() if name != SEED})
        seed = derive_seed(self.seed, "sweep", str(point[SEED]))
        yardstick, floors = self.yardsticks.get(blocks.ae_training, seed)
        start = time.perf_counter()
        sampler = blocks.hvrt_fitting.fit(yardstick.latents, yardstick.train.labels, seed=seed)
        fit_seconds = time.perf_counter() - start
        return {
            **yardstick.score(sampler, self.classifier, classifiers=self.classifiers, seed=seed),
            **floors,
            "leaves": float(sampler.overall.n_leaves),
            "fit_seconds": fit_seconds,
        }

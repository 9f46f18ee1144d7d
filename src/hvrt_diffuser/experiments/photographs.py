"""``python -m hvrt_diffuser.experiments.photographs``: draws of small photographs, side by side.

HVRT on principal components of pixels, and coarse codes with detail, at several strengths. Every
set has the same number of images, even by class; what judges them was trained on nothing of them,
and none of its networks is part of a loss.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.utils import make_grid

from hvrt_diffuser.autoencoders.principal import PrincipalComponents
from hvrt_diffuser.classifiers import (
    Classifier,
    ClassifierOptions,
    JudgeOptions,
    classify,
    train_classifier,
    train_judge,
)
from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.figures import titled_figure
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.augmentation import FlipAndCrop
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.experiments.ledger import hashed
from hvrt_diffuser.image_models import CoarseToFine, CoarseToFineEstimator, load_image_model
from hvrt_diffuser.judge.attack import attack
from hvrt_diffuser.judge.examine import untrained_extractors
from hvrt_diffuser.judge.extractors import classifier_features
from hvrt_diffuser.judge.rows import even_labels
from hvrt_diffuser.metrics import authenticity, frechet_distance, nearest
from hvrt_diffuser.metrics.rows import PixelRows
from hvrt_diffuser.samplers import HVRTEstimator
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["Instrument", "Protocol", "averaged", "draws", "kept_for", "measure_photographs"]

COMMAND = "python -m hvrt_diffuser.experiments.photographs"
CPU = torch.device("cpu")
STRENGTHS = (0.5, 1.0, 1.6)
FINE = 512  # components that show small photographs almost as they are
COLUMNS = 10  # of a picture, and rows
AT_ONCE = 1000  # images that are encoded or decoded together

Array = NDArray[np.float32]
Draw = Callable[[], Tensor]


class Protocol(NamedTuple):
    """What is the same for every set.

    Attributes:
        n: images of a set, even by class.
        compared: images, of these, whose nearest training images are looked for.
        classifier: of TSTR.
        judge: of the classifier whose features and labels judge.
        whitened: of another, of another architecture, whose features judge.
        model: the coarse codes and their detail.
        components: of the finer codes that HVRT draws alone.
    """

    n: int = 10_000
    compared: int = 1000
    classifier: ClassifierOptions = ClassifierOptions(width=64, steps=1500, precision="auto")
    judge: JudgeOptions = JudgeOptions(
        width=64, steps=4000, evaluate_every=400, validation_fraction=0.05, precision="auto"
    )
    whitened: JudgeOptions = JudgeOptions(
        network="whitened",
        width=64,
        batch_size=512,
        steps=850,
        evaluate_every=170,
        validation_fraction=0.05,
        precision="auto",
    )
    model: CoarseToFineEstimator = CoarseToFineEstimator()
    components: int = FINE


class Instrument:
    """What measures a set of images, made once for a seed.

    Args:
        train: training images, which the draws were made from.
        test: test images.
        protocol: see there.
        seed: of all that is random.
        judge: sees labels and features; None trains one.
        whitened: sees features; None trains one.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        protocol: Protocol,
        seed: int,
        judge: Classifier | None = None,
        whitened: Classifier | None = None,
    ) -> None:
        self.train, self.test, self.protocol, self.seed = train, test, protocol, seed
        self.n_classes = len(train.class_names)
        self.labels = even_labels(protocol.n, self.n_classes)
        self.judge = judge or _judge(train, protocol.judge, seed)
        self.extractors = {
            "classifier": classifier_features(self.judge, CPU),
            "whitened": classifier_features(
                whitened or _judge(train, protocol.whitened, seed), CPU
            ),
            **untrained_extractors(train.images, CPU),
        }
        self.real = {name: extract(test.images) for name, extract in self.extractors.items()}
        self.fresh = test.images[
            torch.randperm(len(test), generator=generator(seed, "photographs", "fresh"))
        ][: protocol.compared]
        # A mirrored copy is a copy.
        self.seen = torch.cat([train.images, train.images.flip(3)])
        self.coarse = PrincipalComponents(self.seen[0].numel(), protocol.model.latent_dim)
        self.coarse.fit_rows(train.images.flatten(1).float() / 255, seed)

    @cached_property
    def usual(self) -> dict[str, float]:
        """Distances of fresh images to the closest training image: of pixels, and of codes."""
        return self._distances(self.fresh)

    @cached_property
    def seen_codes(self) -> Array:
        """Of the training images and of their mirror images."""
        return self._codes(self.seen)

    @cached_property
    def floor(self) -> dict[str, float]:
        """Fréchet distances of training images, as many as a set has."""
        return self._frechet(self.real_set()[0])

    @cached_property
    def tstr_real(self) -> float:
        """Accuracy, %, after as many real images."""
        return self._accuracy(*self.real_set())

    def real_set(self) -> tuple[Tensor, Tensor]:
        """Training images of the same size, even by class as far as there are as many."""
        order = torch.randperm(
            len(self.train), generator=generator(self.seed, "photographs", "real")
        )
        wanted = torch.bincount(self.labels, minlength=self.n_classes).tolist()
        places = [order[self.train.labels[order] == c][:count] for c, count in enumerate(wanted)]
        rows = torch.cat(places)
        return self.train.images[rows], self.train.labels[rows]

    def measure(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
        """What a set amounts to.

        Args:
            images: uint8 (n, c, h, w).
            labels: int64 (n,).

        Returns:
            JSON: ``fd`` by extractor; ``dcr_image`` and ``dcr_code``, median distances to the
            closest training image or its mirror image, those of fresh images being 1;
            ``authentic``; ``membership_auc``, ``membership_auc_high`` and ``tpr_at_1`` after all
            are released; ``tstr``, %; ``label_agreement``, % of the judge.
        """
        order = torch.randperm(
            len(images), generator=generator(self.seed, "photographs", "compared")
        )
        some = images[order[: self.protocol.compared]]
        distances = self._distances(some)
        attacked = attack(self.train.images, self.test.images, images, seed=self.seed)
        agree = classify(self.judge, images, CPU)[1].argmax(1) == labels
        return {
            "fd": self._frechet(images),
            **{f"dcr_{key}": value / self.usual[key] for key, value in distances.items()},
            "authentic": authenticity(PixelRows(some), PixelRows(self.train.images)),
            "membership_auc": attacked["auc"],
            "membership_auc_high": attacked["auc_high"],
            "tpr_at_1": attacked["tpr_at_1"],
            "tstr": self._accuracy(images, labels),
            "label_agreement": 100 * agree.double().mean().item(),
        }

    def _frechet(self, images: Tensor) -> dict[str, float]:
        return {
            name: frechet_distance(self.real[name], extract(images))
            for name, extract in self.extractors.items()
        }

    def _codes(self, images: Tensor) -> Array:
        parts = images.flatten(1).split(AT_ONCE)
        return torch.cat([self.coarse.encode_rows(x.float() / 255) for x in parts]).numpy()

    def _distances(self, images: Tensor) -> dict[str, float]:
        of_pixels = nearest(PixelRows(images), PixelRows(self.seen))[1]
        of_codes = nearest(self._codes(images), self.seen_codes)[1]
        return {"image": float(np.median(of_pixels)), "code": float(np.median(of_codes))}

    def _accuracy(self, images: Tensor, labels: Tensor) -> float:
        network = train_classifier(
            images,
            labels,
            self.n_classes,
            self.protocol.classifier,
            seed=derive_seed(self.seed, "photographs", "tstr"),
            device=CPU,
            augment=FlipAndCrop(),
        )
        found = classify(network, self.test.images, CPU)[1].argmax(1) == self.test.labels
        return 100 * found.double().mean().item()


def draws(
    train: LabelledImages, labels: Tensor, protocol: Protocol, seed: int, folder: Path
) -> Iterator[tuple[str, float, Draw]]:
    """The sets that are compared, drawn when they are asked for.

    Args:
        train: training images.
        labels: of a set, int64 (n,).
        protocol: see there.
        seed: of all that is random.
        folder: of the model, which is trained once, and goes on where it was cut off.

    Yields:
        The name of a row, seconds of its training, and what draws uint8 (n, c, h, w).
    """
    rows = train.images.flatten(1).float() / 255

    def source(name: str) -> torch.Generator:
        return generator(seed, "photographs", name)

    def hvrt(components: PrincipalComponents, fitted: Any, strength: float) -> Tensor:
        z = components.encode_rows(rows)
        sampler = HVRTEstimator(noise_scale=strength).adapt(fitted, z, train.labels, seed=seed)
        codes = sampler.sample(len(labels), labels, generator=source("hvrt"))[0]
        return components.decode_rows(codes)

    def as_images(flat: Tensor) -> Tensor:
        return (flat.clamp(0, 1) * 255).round().to(torch.uint8).view(-1, *train.shape)

    def fit(size: int) -> tuple[PrincipalComponents, Any, float]:
        start = time.perf_counter()
        components = PrincipalComponents(rows.shape[1], size)
        components.fit_rows(rows, seed)
        z = components.encode_rows(rows)
        return components, HVRTEstimator().fit(z, train.labels, seed=seed), _since(start)

    fine, fitted, seconds = fit(protocol.components)

    def alone(components: PrincipalComponents, fitted: Any, strength: float) -> Tensor:
        return as_images(hvrt(components, fitted, strength))

    for strength in STRENGTHS:
        name = f"hvrt_{protocol.components}, {strength}"
        yield name, seconds, partial(alone, fine, fitted, strength)
    coarse, fitted, seconds = fit(protocol.model.latent_dim)

    def swapped() -> Tensor:
        """The detail of another image of the class, which costs no training."""
        blurred, others = hvrt(coarse, fitted, 1.0), source("others")
        of_class = [(train.labels == c).nonzero()[:, 0] for c in range(len(train.class_names))]
        chosen = torch.stack(
            [
                of_class[c][torch.randint(len(of_class[c]), (), generator=others)]
                for c in labels.tolist()
            ]
        )
        detail = rows[chosen] - coarse.decode_rows(coarse.encode_rows(rows[chosen]))
        return as_images(blurred + detail)

    yield "residual_swap", seconds, swapped
    model, seconds = _trained(train, protocol, seed, folder)

    def detailed(own: CoarseToFine) -> Tensor:
        return own.sample(len(labels), labels, generator=source("detail"))[0]

    for strength in STRENGTHS:
        stronger = replace(model, strength=strength)
        yield f"coarse_to_fine, {strength}", seconds, partial(detailed, stronger)
    start = time.perf_counter()
    z = torch.cat([model.coarse.encode(x) for x in train.images.split(AT_ONCE)])
    codes = SAMPLERS.make("mixture_per_class").fit(z, train.labels, seed=seed)
    mixture = replace(model, codes=codes)
    yield "coarse_to_fine, mixture", seconds + _since(start), partial(detailed, mixture)


def _trained(
    train: LabelledImages, protocol: Protocol, seed: int, folder: Path
) -> tuple[CoarseToFine, float]:
    path, times = folder / f"model_{seed}.safetensors", folder / f"model_{seed}.json"
    if not path.exists():
        start = time.perf_counter()
        model = protocol.model.fit(
            train.images,
            train.labels,
            seed=seed,
            device=CPU,
            checkpoint=Checkpoint(folder / f"checkpoint_{seed}.safetensors"),
        )
        with whole_file(times) as temporary:
            temporary.write_text(json.dumps(_since(start)))
        model.save(path)
    found = load_image_model(path)
    assert isinstance(found, CoarseToFine)
    return found, json.loads(times.read_text())


def measure_photographs(
    train: LabelledImages,
    test: LabelledImages,
    protocol: Protocol,
    seed: int,
    folder: Path,
    show: Callable[[str], object] = lambda line: None,
) -> list[dict[str, Any]]:
    """All rows of a seed; those that an earlier call left in the folder are not measured again.

    Args:
        train: training images.
        test: test images.
        protocol: see there.
        seed: of all that is random.
        folder: of what is kept, by images and protocol: models, judges, rows and their pictures.
        show: is given a line after each row.

    Returns:
        JSON by row, as :meth:`Instrument.measure` says, with ``row``, ``n``, ``fd_floor``,
        ``tstr_real``, ``train_seconds`` and ``ms_per_image``.
    """
    folder = kept_for(train, test, protocol, folder)
    judges = [
        _kept_judge(train, options, seed, folder / f"{name}_{seed}.safetensors")
        for name, options in (("judge", protocol.judge), ("whitened", protocol.whitened))
    ]
    instrument = Instrument(train, test, protocol, seed, *judges)
    found = []

    def done(name: str, seconds: float, draw: Draw, labels: Tensor) -> dict[str, Any]:
        path = folder / f"{name.replace(', ', '_')}_{seed}.json"
        if path.exists():
            before: dict[str, Any] = json.loads(path.read_text())
            return before
        start = time.perf_counter()
        images = draw()
        took = 1000 * _since(start) / len(images)
        row = {
            "row": name,
            "n": len(images),
            **instrument.measure(images, labels),
            "fd_floor": instrument.floor,
            "tstr_real": instrument.tstr_real,
            "train_seconds": seconds,
            "ms_per_image": took if seconds else None,
        }
        _picture(images, labels, path.with_suffix(".png"), name)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(row, allow_nan=False))
        show(json.dumps(row))
        return row

    real, of_real = instrument.real_set()
    found.append(done("real", 0.0, lambda: real, of_real))
    for name, seconds, draw in draws(train, instrument.labels, protocol, seed, folder):
        found.append(done(name, seconds, draw, instrument.labels))
    return found


def _judge(train: LabelledImages, options: JudgeOptions, seed: int) -> Classifier:
    return train_judge(
        train.images,
        train.labels,
        len(train.class_names),
        options,
        seed=seed,
        device=CPU,
        augment=FlipAndCrop(),
    )


def _kept_judge(train: LabelledImages, options: JudgeOptions, seed: int, path: Path) -> Classifier:
    if not path.exists():
        _judge(train, options, seed).save(path)
    return Classifier.load(path)


def kept_for(train: LabelledImages, test: LabelledImages, protocol: Protocol, root: Path) -> Path:
    """The folder, in a given one, of all that belongs to these images and this protocol."""
    identity = [
        fingerprint(train),
        fingerprint(test),
        *(x.model_dump(mode="json") if isinstance(x, Options) else x for x in protocol),
    ]
    folder = root / hashed(identity)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def averaged(seeds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Means over seeds, row by row, and the number of seeds."""
    return [
        {**{key: _mean([row[key] for row in rows]) for key in rows[0]}, "seeds": len(rows)}
        for rows in zip(*seeds, strict=True)
    ]


def _mean(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    if None in values:
        return None
    return statistics.fmean(values) if isinstance(values[0], float) else values[0]


def _picture(images: Tensor, labels: Tensor, path: Path, title: str) -> None:
    """A row of ten images for each of the first ten classes."""
    shown = [images[labels == c][:COLUMNS] for c in labels.unique()[:COLUMNS]]
    mosaic = make_grid(torch.cat(shown), nrow=COLUMNS, padding=1, pad_value=255)
    figure = titled_figure(f"{title}: a row for each class", 6.6, 6.8)
    axes = figure.subplots()
    axes.imshow(mosaic.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _since(start: float) -> float:
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write the means over seeds after each."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of parquet files")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--kept", type=Path, required=True, help="folder of models and rows")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=Protocol().model.training_steps)
    options = parser.parse_args()
    terminal.install()
    splits = read_images("parquet", root=options.root)
    assert splits.test is not None
    protocol = Protocol(model=CoarseToFineEstimator(training_steps=options.steps))
    given = f"--seeds {options.seeds} --steps {options.steps}"
    command = f"{COMMAND} --root FOLDER --out FILE --kept FOLDER {given}"
    measured = []
    for seed in range(options.seeds):
        measured.append(
            measure_photographs(splits.train, splits.test, protocol, seed, options.kept, _show)
        )
        rows = [{**row, "command": command} for row in averaged(measured)]
        with whole_file(options.out) as temporary:
            temporary.write_text(
                "[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in rows) + "\n]\n"
            )


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

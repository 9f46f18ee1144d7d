"""From how many real images on synthetic ones no longer help beyond augmenting the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field

from hvrt_diffuser.autoencoders import AutoencoderEstimator, TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.bounds import Count, Distinct, Ratio, Repetitions, Steps
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.augmentation import Augment, Augmentation, choose_augment
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge.intervals import bootstrap, bootstrap_gain, gain_p, holm
from hvrt_diffuser.judge.kept_fits import KeptFits
from hvrt_diffuser.judge.rows import FitPerSeed, Row, both, drawn, enough, equal_n
from hvrt_diffuser.judge.tstr import Predictions, Task, train_and_test

__all__ = ["ShotsOptions", "stops_helping", "sweep_shots"]

REAL = "real_augmented"
SEED = 0  # of the resampling: a table is what the predictions say, whatever the run's seed


class ShotsOptions(Options):
    """How many real images there are, and how many synthetic ones are added to them."""

    shots: Annotated[tuple[Count, ...], Distinct] = Field(
        (10, 100, 1000),
        min_length=1,
        description="real images of each class; what a class has too few images for is left out",
    )
    ratios: Annotated[tuple[Ratio, ...], Distinct] = Field(
        (1, 3, 10), min_length=1, description="synthetic images for each real one"
    )
    seeds: Repetitions = Field(
        5, ge=2, description="repetitions, each with few images and generators of its own"
    )
    steps: Steps | None = Field(
        1000,
        description="of the optimiser of a convolutional autoencoder, where ae_training asks for "
        "more; null takes as many as that",
    )


class Cell(NamedTuple):
    """A row, and from how many real images of each class and synthetic ones for each it is."""

    row: str
    shots: int
    ratio: int
    n: int

    @property
    def key(self) -> tuple[str, int]:
        """Of its predictions."""
        return f"{self.row}_{self.shots}_{self.ratio}", self.n


def sweep_shots(
    train: LabelledImages,
    test: LabelledImages,
    estimators: Mapping[str, Any],
    training: AutoencoderEstimator,
    options: ShotsOptions,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    classifier: ClassifierOptions = ClassifierOptions(),  # noqa: B008  # frozen
    augment: Augment | None = None,
    augmentation: Augmentation = Augmentation(),  # noqa: B008  # frozen
    done: Predictions | None = None,
    keep: Callable[[Predictions], None] = lambda predictions: None,
) -> dict[str, Any]:
    """Few real images, augmented in each batch, and the same with synthetic images beside them.

    Each repetition draws few images of its own, fits generators of its own on these alone, and
    trains a classifier on the few and one for each sampler and ratio, all with as many steps, the
    same weights to start from, and augmented batches.

    Args:
        train: real images, of which few are drawn.
        test: real images, on which the classifiers are tested.
        estimators: of samplers or whole models, by name.
        training: of the autoencoders.
        options: numbers of images and repetitions.
        seed: of everything random.
        device: where to train.
        folder: where generators are kept until all classifiers are trained; of this setting alone.
        classifier: the same for every row.
        augment: of a batch; None chooses by the number of channels.
        augmentation: of the images that a sampler may start from.
        done: predictions that an earlier call that was cut off has kept.
        keep: is given all predictions so far after every classifier.

    Returns:
        JSON: ``n_test``, ``seeds``, ``steps``, ``ratios``, ``shots`` that were measured and what
        was ``skipped`` (``shots``, ``sampler`` or None for all, ``reason``); ``rows``, of ``row``
        (``real_augmented`` or a sampler), ``shots``, ``ratio`` (0 for real images alone), ``n``,
        balanced accuracy in percent (``mean``, ``low``, ``high``), ``gain`` over
        ``real_augmented`` in points (the same) and ``p_holm`` of it, over all gains (both None for
        that row); ``samplers``, by name what :func:`stops_helping` says.

    Raises:
        InputError: a class has too few images for the fewest shots, or test images of fewer than
            two classes.
    """
    k = len(train.class_names)
    counts = torch.bincount(train.labels, minlength=k)
    least = f"class {train.class_names[int(counts.argmin())]} has {int(counts.min())} images"
    levels = [shots for shots in sorted({*options.shots}) if enough(train, shots * k)]
    if not levels:
        raise InputError(
            f"{least} to train on, expected at least {min(options.shots)}, the fewest shots: lower "
            "shots, or add images"
        )
    if isinstance(training, TrainingOptions) and options.steps is not None:
        steps = min(options.steps, training.plan(len(train)).steps)
        training = training.model_copy(update={"steps": steps, "epochs": None})
    fits = KeptFits(folder, estimators, training, augmentation, len(train), device)
    augment = augment or choose_augment("auto", train.shape[0], augmentation)
    generators = {name: FitPerSeed(partial(_fit, fits, train, name)) for name in estimators}
    cells = [Cell(REAL, shots, 0, shots * k) for shots in levels]
    # A ratio after the other: what one has fitted is there for the next.
    cells += [
        Cell(name, shots, ratio, shots * k * (1 + ratio))
        for ratio in sorted({*options.ratios})
        for shots in levels
        for name in estimators
    ]

    def row(cell: Cell) -> Row:
        few = cell.shots * k
        if cell.row == REAL:
            return equal_n(train, few)
        make, n = generators[cell.row], few * cell.ratio
        return both(equal_n(train, few), lambda seed: drawn(make(few, seed), n, device)(seed))

    predictions = train_and_test(
        [
            Task(*cell.key, partial(row, cell), augment=augment, optional=cell.row != REAL)
            for cell in cells
        ],
        test,
        classifier,
        seeds=options.seeds,
        seed=derive_seed(seed, "shots"),
        device=device,
        origin={},
        done=done,
        keep=keep,
    )
    skipped: list[dict[str, Any]] = [
        {"shots": shots, "sampler": None, "reason": least}
        for shots in sorted({*options.shots} - {*levels})
    ]
    reasons = {(c.row, c.shots): predictions.left_out.get(c.key) for c in cells}
    skipped += [
        {"shots": shots, "sampler": name, "reason": why}
        for (name, shots), why in reasons.items()
        if why is not None
    ]
    measured = sorted(
        (cell for cell in cells if cell.key not in predictions.left_out),
        key=lambda cell: (cell.shots, [REAL, *estimators].index(cell.row), cell.ratio),
    )
    rows = _tabulate(predictions, measured, options.seeds)
    return {
        "n_test": len(test),
        "seeds": options.seeds,
        "steps": classifier.steps,
        "ratios": sorted({*options.ratios}),
        "shots": levels,
        "skipped": skipped,
        "rows": rows,
        "samplers": {name: stops_helping(rows, name) for name in estimators},
    }


def stops_helping(rows: Iterable[Mapping[str, Any]], sampler: str) -> dict[str, Any]:
    """From how many real images of each class on a sampler's images no longer help.

    They help where the interval of the gain over augmentation lies above 0, at the ratio whose mean
    gain is the largest: choosing it afterwards is in their favour.

    Args:
        rows: of :func:`sweep_shots`.
        sampler: whose.

    Returns:
        JSON: ``helps_at``, the shots at which they help; ``stops_helping_at``, the fewest shots
        from which on they do not (None: they never help, and ``helps_at`` is empty, or still do at
        the most shots); an ``answer`` in words; ``best``, by shots the best ``ratio`` and its
        ``gain``; and ``by_ratio``, the first two for each ``ratio`` alone.
    """
    own = [row for row in rows if row["row"] == sampler]
    best: dict[int, Mapping[str, Any]] = {}
    for row in own:
        held = best.setdefault(row["shots"], row)
        if row["gain"]["mean"] > held["gain"]["mean"]:
            best[row["shots"]] = row
    helps = {m: row["gain"]["low"] > 0 for m, row in sorted(best.items())}
    by_ratio = {
        ratio: {row["shots"]: row["gain"]["low"] > 0 for row in own if row["ratio"] == ratio}
        for ratio in sorted({row["ratio"] for row in own})
    }
    return {
        **_stops(helps),
        "answer": _answer(helps),
        "best": [
            {"shots": m, "ratio": row["ratio"], "gain": dict(row["gain"])}
            for m, row in sorted(best.items())
        ],
        "by_ratio": [{"ratio": ratio, **_stops(found)} for ratio, found in by_ratio.items()],
    }


def _stops(helps: Mapping[int, bool]) -> dict[str, Any]:
    shots, helps_at = sorted(helps), [m for m in sorted(helps) if helps[m]]
    after = [m for m in shots if m > max(helps_at, default=0)]
    return {
        "helps_at": helps_at,
        "stops_helping_at": after[0] if helps_at and after else None,
    }


def _answer(helps: Mapping[int, bool]) -> str:
    found = _stops(helps)
    if not helps:
        return "Nothing was measured."
    shots = f"{', '.join(f'{m:,}' for m in sorted(helps))} real images of each class"
    if not found["helps_at"]:
        return f"No gain over augmentation was shown at {shots}."
    last = f"{max(found['helps_at']):,}"
    if found["stops_helping_at"] is None:
        return f"They still gained over augmentation at {last}, the most of {shots}."
    return (
        f"They gained over augmentation up to {last}, and from {found['stops_helping_at']:,} on no "
        f"gain was shown, of {shots}."
    )


def _tabulate(predictions: Predictions, cells: Sequence[Cell], seeds: int) -> list[dict[str, Any]]:
    labels = predictions.labels.numpy()
    right = {
        cell: np.stack([predictions.tested[(*cell.key, r)].numpy() == labels for r in range(seeds)])
        for cell in cells
    }
    real = {cell.shots: own for cell, own in right.items() if cell.row == REAL}
    compared = {cell: real[cell.shots] for cell in cells if cell.row != REAL}
    how: dict[str, Any] = {"seed": SEED, "balanced": True}
    p_holm = holm({c: gain_p(right[c], own, labels, **how) for c, own in compared.items()})
    return [
        {
            "row": cell.row,
            "shots": cell.shots,
            "ratio": cell.ratio,
            "n": cell.n,
            **bootstrap(own, labels, **how)._asdict(),
            "gain": bootstrap_gain(own, compared[cell], labels, **how)._asdict()
            if cell in compared
            else None,
            "p_holm": p_holm.get(cell),
        }
        for cell, own in right.items()
    ]


def _fit(fits: KeptFits, train: LabelledImages, name: str, n: int, seed: int) -> HVRTDiffuser:
    """A generator that saw the n images alone that ``equal_n`` draws for the seed."""
    return fits.fit(name, *equal_n(train, n)(seed), seed=seed)

"""Every rival through the same measures, and the table of their means."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import fingerprint
from hvrt_diffuser.frontier import ImageYardstick, Yardstick
from hvrt_diffuser.rivals.generators import GENERATORS, ImageEstimator, check_generators
from hvrt_diffuser.rivals.ledger import Entry, Job, Ledger
from hvrt_diffuser.rivals.likelihood import negative_elbo
from hvrt_diffuser.rivals.measures import measure_generator, measure_sampler
from hvrt_diffuser.rivals.registry import PRIORS, Shared, changed, estimator_of
from hvrt_diffuser.sweeps import Yardsticks
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = [
    "Rival",
    "autoencoder_rivals",
    "generator_rivals",
    "measure_rivals",
    "prior_rivals",
    "summarise",
]

NAMES = ("rival", "what", "of", "parameters", "stored_bytes")


@dataclass(frozen=True)
class Rival:
    """Someone who is measured.

    Attributes:
        name: in the table.
        what: it is, in a few words.
        of: what it was made by, as JSON, beside what all rivals share: an entry of another one is
            not taken for it.
        seeds: repetitions.
        measure: gives an entry for a seed.
    """

    name: str
    what: str
    of: Mapping[str, Any]
    seeds: int
    measure: Callable[[int], Entry]


def prior_rivals(
    yardstick: Yardstick,
    priors: Mapping[str, Mapping[str, Any]],
    shared: Shared,
    classifier: ClassifierOptions,
    *,
    seeds: int,
    network_seeds: int,
) -> list[Rival]:
    """Samplers of the latents of one autoencoder.

    Args:
        yardstick: of that autoencoder.
        priors: changes of their options, by name, of :data:`PRIORS`.
        shared: what they are built from.
        classifier: of TSTR.
        seeds: repetitions, each with fits, draws and a classifier of its own.
        network_seeds: the same of priors that are networks.

    Raises:
        InputError: options that are none of theirs.
    """

    def rival(name: str) -> Rival:
        estimator = estimator_of(name, shared, priors[name])

        def measure(seed: int) -> Entry:
            return measure_sampler(yardstick, estimator, classifier, seed)

        prior = PRIORS[name]
        repetitions = network_seeds if prior.network else seeds
        return Rival(name, prior.what, {"changes": dict(priors[name])}, repetitions, measure)

    return [rival(name) for name in priors]


def autoencoder_rivals(
    yardsticks: Yardsticks,
    training: TrainingOptions,
    changes: Mapping[str, Mapping[str, Any]],
    priors: Mapping[str, Mapping[str, Any]],
    vae_priors: Mapping[str, Mapping[str, Any]],
    shared: Shared,
    classifier: ClassifierOptions,
    *,
    seeds: int,
) -> list[Rival]:
    """Samplers of the latents of other autoencoders.

    Args:
        yardsticks: of the autoencoders, which a repetition trains for itself.
        training: of the autoencoder that the priors have.
        changes: of these options, by the name of the autoencoder.
        priors: changes of their options, by name, of :data:`PRIORS`.
        vae_priors: the same of priors that only autoencoders with a KL term have: a second stage
            belongs to a VAE (Dai & Wipf 2019, arXiv 1903.05789).
        shared: what the priors are built from.
        classifier: of TSTR.
        seeds: repetitions.

    Raises:
        InputError: options that nothing can be trained by.
    """
    trainings = {
        name: changed(f"autoencoders.{name}", training, each) for name, each in changes.items()
    }
    vaes = [name for name, options in trainings.items() if options.beta > 0]

    def rival(name: str, prior: str, prior_changes: Mapping[str, Any]) -> Rival:
        options = trainings[name]
        estimator = estimator_of(prior, shared, prior_changes)

        def measure(seed: int) -> Entry:
            yardstick, floors = yardsticks.get(options, seed)
            entry = measure_sampler(yardstick, estimator, classifier, seed)
            bound = None
            if yardstick.autoencoder.architecture.variational:
                bound = negative_elbo(
                    yardstick.autoencoder,
                    yardstick.test.images,
                    seed=seed,
                    device=yardstick.device,
                )
            return {**entry, **floors, "nelbo": bound}

        return Rival(
            f"{name} + {prior}",
            f"{PRIORS[prior].what}, on another autoencoder",
            {
                "ae_training": options.model_dump(mode="json", exclude={"device"}),
                "changes": dict(prior_changes),
            },
            seeds,
            measure,
        )

    # All autoencoders by one prior, and then by the next: processes that share the work would else
    # wait for each other's training.
    return [
        rival(name, prior, prior_changes)
        for having, all_of in ((trainings, priors), (vaes, vae_priors))
        for prior, prior_changes in all_of.items()
        for name in having
    ]


def generator_rivals(
    yardstick: ImageYardstick,
    estimators: Mapping[str, ImageEstimator],
    folder: Path,
    classifier: ClassifierOptions,
    *,
    seeds: int,
) -> list[Rival]:
    """Whole models of images.

    Args:
        yardstick: of real images.
        estimators: by name, of :data:`GENERATORS`.
        folder: of the states of trainings, which go on from there where they were cut off; what
            that took before is not known, and ``train_seconds`` is then None.
        classifier: of TSTR.
        seeds: repetitions.

    Raises:
        InputError: images that one of them cannot be trained on.
    """
    check_generators(estimators, yardstick.train)

    def rival(name: str, estimator: ImageEstimator) -> Rival:
        kind = GENERATORS[name]
        options = estimator.model_dump(mode="json")
        train, test = yardstick.train, yardstick.test

        def measure(seed: int) -> Entry:
            setting = json.dumps([name, options, seed, fingerprint(train)])
            own = folder / hashlib.sha256(setting.encode()).hexdigest()[:16]
            cut_off = own.exists()
            entry, model = measure_generator(
                yardstick,
                lambda: estimator.fit(
                    train.images,
                    train.labels,
                    seed=seed,
                    device=yardstick.device,
                    checkpoint=Checkpoint(own / "checkpoint.safetensors"),
                ),
                kind.file,
                classifier,
                seed,
            )
            if cut_off:
                entry["train_seconds"] = None
            bound = kind.bound(model, test.images, seed) if kind.bound else None
            shutil.rmtree(own, ignore_errors=True)
            return {**entry, "nelbo": bound}

        return Rival(name, kind.what, {"options": options}, seeds, measure)

    return [rival(name, estimator) for name, estimator in estimators.items()]


def measure_rivals(rivals: Sequence[Rival], ledger: Ledger, *, seed: int) -> list[Entry]:
    """Measure every rival for each of its seeds.

    Args:
        rivals: in the order of the table.
        ledger: keeps what is measured. Rivals that it holds are not measured again, and those
            that are no longer asked for stay in it.
        seed: of everything random.

    Returns:
        An entry for each rival and repetition.
    """

    def job(rival: Rival, repetition: int) -> Job:
        return Job(
            {"rival": rival.name, "of": dict(rival.of), "seed": repetition},
            lambda: {"what": rival.what, **rival.measure(derive_seed(seed, "rivals", repetition))},
            lambda entry: f"{rival.name}, repetition {repetition + 1}",
        )

    most = max((rival.seeds for rival in rivals), default=0)
    wanted = [job(rival, k) for k in range(most) for rival in rivals if k < rival.seeds]
    return ledger.fill(wanted, "measuring rivals", "fits")


def summarise(entries: Sequence[Entry]) -> list[Entry]:
    """A row per rival: means over the seeds, the most memory, deviations of FD, DCR and TSTR."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["rival"], []).append(entry)
    rows = []
    for group in groups.values():
        row: Entry = {name: group[0][name] for name in NAMES} | {"seeds": len(group)}
        for measure in [name for name in group[0] if name not in (*NAMES, "seed", "ms_per_image")]:
            values = [entry[measure] for entry in group]
            row[measure] = None if None in values else statistics.fmean(values)
        row["ms_per_image"] = {
            batch: statistics.median(entry["ms_per_image"][batch] for entry in group)
            for batch in group[0]["ms_per_image"]
        }
        # A fit in memory that one before it freed takes none: the most is what it needs.
        peaks = [entry["peak_mb"] for entry in group]
        row["peak_mb"] = None if None in peaks else max(peaks)
        for measure in ("fd", "dcr_image", "tstr"):
            values = [entry[measure] for entry in group]
            spread = None if None in values or len(values) < 2 else statistics.stdev(values)
            row[f"{measure}_std"] = spread
        rows.append(row)
    return rows

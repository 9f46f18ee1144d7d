"""Which rows TSTR has, and which real row each is compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import Task
from hvrt_diffuser.judge.rows import (
    Row,
    all_images,
    both,
    copied,
    drawn,
    enough,
    equal_n,
    fit_on_few,
    fixed,
)
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions, TSTRTask
from hvrt_diffuser.samplers import PosteriorEstimator, StandardNormal

__all__ = ["check_rows", "compared_with", "list_tasks"]

Key = tuple[str, int]


def check_rows(train: LabelledImages, options: TSTROptions) -> None:
    """Check that there are images enough for every row.

    Raises:
        InputError: a class has too few.
    """
    counts = torch.bincount(train.labels, minlength=len(train.class_names))
    least = int(counts.min())
    where = f"class {train.class_names[int(counts.argmin())]} has {least} training images"
    for n in options.n:
        if n < len(train) and not enough(train, n):
            raise InputError(
                f"{where}, too few for the rows of {n} real images that are even by class: set "
                f"tstr.n to at most {least * len(counts)}, or to all {len(train)}"
            )
    if options.few_shot and options.few_shot > least:
        raise InputError(
            f"{where}, too few for the rows of {options.few_shot} of each class: set tstr.few_shot "
            f"to at most {least}, or to null, which leaves these rows out"
        )


def compared_with(vae: str, train: LabelledImages, options: TSTROptions) -> dict[Key, Key | None]:
    """By row and number of images, the real row that it is compared with; None for a real one.

    Args:
        vae: name of the VAE's rows.
        train: real training images.
        options: of the stage.
    """
    everything = len(train)
    rows: dict[Key, Key | None] = {("real_all", everything): None}
    for n in options.n:
        real = _real(n, everything)
        rows[real] = None
        rows["synthetic", n] = real
        if n < everything:
            rows["synthetic_equal_information", n] = real
        rows |= dict.fromkeys([(name, n) for name in (vae, "random_decoded", "copied")], real)
        rows[_augmented(n, everything)] = real
    if options.few_shot:
        few = options.few_shot * len(train.class_names)
        rows["few_shot_real", few] = None
        rows["few_shot_real_and_synthetic", few + max(options.n)] = ("few_shot_real", few)
    return rows


def list_tasks(
    train: LabelledImages,
    generator: HVRTDiffuser,
    vae: Autoencoder,
    options: TSTRTask,
    device: torch.device,
) -> list[Task]:
    """Every row, and how its images are made.

    ``synthetic`` is drawn by a generator that saw all training images;
    ``synthetic_equal_information`` by one that saw as many real ones as the row that it is compared
    with, and so are the synthetic images of ``few_shot_real_and_synthetic``.

    Args:
        train: real training images.
        generator: fitted on all of them.
        vae: trained on all of them.
        options: of the stage, and of generators that saw fewer images.
        device: where to compute.

    Raises:
        InputError: a class has too few images for a row, or the generator knows no classes.
    """
    check_rows(train, options)
    everything, seed = len(train), options.seed
    if generator.n_classes != len(train.class_names):
        raise InputError(
            f"the model {options.sampler.name} knows {generator.n_classes} of the "
            f"{len(train.class_names)} classes, expected labelled images to train classifiers on: "
            "run the pipelines without tstr"
        )
    autoencoder = generator.autoencoder
    assert autoencoder is not None, "a run always has one"
    prior = StandardNormal(autoencoder.architecture.latent_dim, generator.counts)
    means, deviations = encode_images(vae, train.images, device)
    posterior = PosteriorEstimator().fit(means, train.labels, deviations=deviations)

    @cache
    def saw_only(n: int) -> HVRTDiffuser:
        """What was trained and fitted on the n images that ``equal_n`` draws for the seed."""
        return fit_on_few(
            *equal_n(train, n)(seed),
            everything,
            options.ae_training.chosen,
            options.sampler.estimator(),
            options.augmentation,
            seed=derive_seed(seed, "tstr", "few", n),
            device=device,
        )

    prepare: dict[Key, Callable[[], Row]] = {}
    reverse: dict[Key, Row] = {}
    for n in options.n:
        real = equal_n(train, n) if n < everything else all_images(train)
        synthetic = drawn(generator, n, device)
        rows: dict[Key, Row] = {
            _real(n, everything): real,
            ("synthetic", n): synthetic,
            (options.vae, n): drawn(HVRTDiffuser(vae, posterior), n, device),
            ("random_decoded", n): drawn(HVRTDiffuser(autoencoder, prior), n, device),
            ("copied", n): copied(autoencoder, train, n, device),
            _augmented(n, everything): both(real, synthetic),
        }
        prepare |= {key: partial(_ready, row) for key, row in rows.items()}
        prepare["synthetic_equal_information", n] = partial(_of_generator, saw_only, n, n, device)
        reverse[_real(n, everything)] = synthetic
    prepare["real_all", everything] = partial(_ready, all_images(train))
    if options.few_shot:
        few, most = options.few_shot * len(train.class_names), max(options.n)
        shots = fixed(*equal_n(train, few)(seed))
        prepare["few_shot_real", few] = partial(_ready, shots)
        prepare["few_shot_real_and_synthetic", few + most] = lambda: both(
            shots, _of_generator(saw_only, few, most, device)
        )
    return [
        Task(*key, prepare[key], real, reverse.get(key))
        for key, real in compared_with(options.vae, train, options).items()
    ]


def _real(n: int, everything: int) -> Key:
    """The real row of as many images, or of all where there are no more."""
    return ("real_equal_n", n) if n < everything else ("real_all", everything)


def _augmented(n: int, everything: int) -> Key:
    return "real_and_synthetic", min(n, everything) + n


def _ready(row: Row) -> Row:
    return row


def _of_generator(
    saw_only: Callable[[int], HVRTDiffuser], n_real: int, n: int, device: torch.device
) -> Row:
    return drawn(saw_only(n_real), n, device)

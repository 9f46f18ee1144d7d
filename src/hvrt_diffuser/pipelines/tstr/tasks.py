"""Which rows TSTR has, which real row each is compared with, and how its images are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.augmentation import choose_augment
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import Task
from hvrt_diffuser.judge.folds import FOLDS, kept_counts, part, pooled
from hvrt_diffuser.judge.kept_fits import KeptFits
from hvrt_diffuser.judge.rows import (
    FitPerSeed,
    Row,
    all_images,
    both,
    copied,
    drawn,
    equal_n,
    even_labels,
)
from hvrt_diffuser.pipelines.tstr.parameters import TSTRTask
from hvrt_diffuser.samplers import PosteriorEstimator, StandardNormal

__all__ = ["FEWEST", "REPETITIONS", "Plan", "list_tasks", "plan_rows"]

Key = tuple[str, int]
UNTIL = "real_all_until_validation"
FEWEST = 200  # test images; with fewer, every real image is tested by what saw the other folds
REPETITIONS = 3  # at most, where every image is tested in turn: each is five trainings
SAW_ALL = (
    f"there are fewer than {FEWEST} test images, so that every real image is one in turn, and its "
    "generator has seen them"
)


@dataclass(frozen=True)
class Plan:
    """What there is to train.

    Attributes:
        against: by row and n, the real row that it is compared with; None for a real one.
        asked: by row and n, how many images were asked for.
        left_out: by row and n, why it is not among them.
        sizes: by n of the rows, the n that was asked for.
        few: images of the few-shot rows; None leaves these out.
        everything: real training images.
        pool: training and test images together, where they are cross-fitted; else None.
        fold_of: the fold of each of the pool, int64 (m,).
    """

    against: dict[Key, Key | None]
    asked: dict[Key, int]
    left_out: dict[Key, str]
    sizes: dict[int, int]
    few: int | None
    everything: int
    pool: LabelledImages | None
    fold_of: Tensor | None


def _check_counts(train: LabelledImages, counts: Tensor) -> None:
    if counts.min() == 0:
        raise InputError(
            f"class {train.class_names[int(counts.argmin())]} has too few images to train on, "
            f"expected at least one, and two of {FOLDS} folds where there are fewer than {FEWEST} "
            "test images: add images of it"
        )


def plan_rows(train: LabelledImages, test: LabelledImages, options: TSTRTask) -> Plan:
    """List the rows for which there are images, and the n of each; of one class, there is none.

    Args:
        train: real training images.
        test: real test images.
        options: of the stage.

    Raises:
        InputError: a class without a training image.
    """
    k, pool, fold_of = len(train.class_names), None, None
    if k < 2:
        one = {("real_all", len(train)): "all images are of one class: there is nothing to tell"}
        return Plan({}, {}, one, {}, None, len(train), None, None)
    counts = torch.bincount(train.labels, minlength=k)
    if len(test) < FEWEST:
        pool = pooled(train, test)
        fold_of = part(pool, seed=options.seed)
        counts = kept_counts(pool, fold_of)
    _check_counts(train, counts)
    least, everything = int(counts.min()), int(counts.sum())
    plan = Plan({("real_all", everything): None}, {}, {}, {}, None, everything, pool, fold_of)
    until = UNTIL, everything
    if pool:
        plan.left_out[until] = "equal steps are many epochs of so few images"
    elif least < 2 or k > options.until_validation.validation_fraction * everything:
        plan.left_out[until] = "there are too few images to hold some out for validation"
    else:
        plan.against[until] = None
    for n in options.n:
        plan.sizes.setdefault(_met(n, counts), n)
    for n, asked in plan.sizes.items():
        _add_size(plan, n, asked, options.vae)
    most = max(plan.sizes)
    real, mixed = ("real_augmented", most), ("real_augmented_and_synthetic", 2 * most)
    plan.against.update({real: _real(most, everything), mixed: real})
    plan.asked.update({real: plan.sizes[most], mixed: 2 * plan.sizes[most]})
    if not options.few_shot:
        return plan
    few = min(options.few_shot, least) * k
    shots = _few_shot(few, most)
    if pool:
        why = "all there are is few: see real_all, real_augmented and what is added to them"
        plan.left_out.update(dict.fromkeys(shots, why))
        return plan
    if few == everything:
        why = "the few images would be all that there are: see real_all and real_augmented"
        plan.left_out.update(dict.fromkeys(shots, why))
        return plan
    plan.against.update(shots)
    plan.asked.update({key: key[1] + options.few_shot * k - few for key in shots})
    return replace(plan, few=few)


def _met(n: int, counts: Tensor) -> int:
    """The largest number of images up to n that is even by class, or all that there are."""
    if n >= counts.sum():
        return int(counts.sum())
    wanted = torch.bincount(even_labels(n, len(counts)), minlength=len(counts))
    return n if bool((wanted <= counts).all()) else int(counts.min()) * len(counts)


def _add_size(plan: Plan, n: int, asked: int, vae: str) -> None:
    """Add the rows of one n."""
    real, both_kinds = _real(n, plan.everything), ("real_and_synthetic", 2 * n)
    saw_all = [(name, n) for name in ("synthetic", vae, "random_decoded", "copied")]
    rows = [] if plan.pool else saw_all
    if plan.pool or n < plan.everything:
        rows.insert(1, ("synthetic_equal_information", n))
    plan.against.update({real: None} | dict.fromkeys([*rows, both_kinds], real))
    plan.asked.update({key: asked for key in (real, *rows) if key[0] != "real_all"})
    plan.asked[both_kinds] = 2 * asked
    if plan.pool:
        plan.left_out.update(dict.fromkeys(saw_all, SAW_ALL))


def list_tasks(
    train: LabelledImages,
    plan: Plan,
    generator: HVRTDiffuser,
    vae: Autoencoder,
    options: TSTRTask,
    device: torch.device,
    folder: Path,
) -> list[Task]:
    """Every row, and how its images are made.

    ``synthetic`` and ``real_and_synthetic`` are drawn by a generator that saw all training images.
    ``synthetic_equal_information`` is drawn by one that saw the real images of the row that it is
    compared with in the same repetition; so are the synthetic images beside few real ones, and of
    ``real_augmented_and_synthetic``. Where images are cross-fitted, all are.

    Args:
        train: real training images, of a fold where there are folds.
        plan: of the rows.
        generator: fitted on all training images.
        vae: trained on all of them.
        options: of the stage, and of generators that saw fewer images.
        device: where to compute.
        folder: of generators that saw fewer images, of one setting alone: what an earlier call has
            fitted is read.

    Raises:
        InputError: the generator knows no classes.
    """
    everything = plan.everything
    if generator.n_classes != len(train.class_names):
        raise InputError(
            f"the model {options.sampler.name} knows {generator.n_classes} of the "
            f"{len(train.class_names)} classes, expected labelled images to train classifiers on: "
            "run the pipelines without tstr"
        )

    def real(n: int) -> Row:
        return equal_n(train, n) if n < everything else all_images(train)

    name = options.sampler.name
    fits = KeptFits(
        folder / fingerprint(train)[:16],  # each fold has its own
        {name: options.sampler.estimator()},
        options.ae_training.chosen,
        options.augmentation,
        everything,
        device,
    )

    def fit(n: int, seed: int) -> HVRTDiffuser:
        return fits.fit(name, *real(n)(seed), seed=derive_seed(seed, "tstr", "few", n))

    saw_only = FitPerSeed(fit)

    def labels(n: int) -> Tensor:
        """As many of each class as the real row of n has."""
        counts = torch.bincount(train.labels)
        even = n < everything or bool((counts == counts[0]).all())
        return even_labels(n, len(counts)) if even else train.labels

    def own(n_real: int, n: int) -> Row:
        """Of the generator that saw the real row of the repetition.

        A fold has one of all its images, or five folds in five repetitions would be 25.
        """
        one = plan.pool is not None and n_real == everything
        return lambda seed: drawn(
            saw_only(n_real, options.seed if one else seed), n, device, labels(n)
        )(seed)

    rows: dict[Key, Row] = {}
    reverse: dict[Key, Row] = {}
    if not plan.pool:
        autoencoder = generator.autoencoder
        assert autoencoder is not None, "a run always has one"
        prior = StandardNormal(autoencoder.architecture.latent_dim, generator.counts)
        means, deviations = encode_images(vae, train.images, device)
        posterior = PosteriorEstimator().fit(means, train.labels, deviations=deviations)
        for n in plan.sizes:
            rows["synthetic", n] = drawn(generator, n, device, labels(n))
            rows[options.vae, n] = drawn(HVRTDiffuser(vae, posterior), n, device, labels(n))
            rows["random_decoded", n] = drawn(
                HVRTDiffuser(autoencoder, prior), n, device, labels(n)
            )
            rows["copied", n] = copied(autoencoder, train, n, device, labels(n))
            reverse[_real(n, everything)] = rows["synthetic", n]
    rows["real_all", everything] = rows[UNTIL, everything] = real(everything)
    for n in plan.sizes:
        mine = own(n, n)
        theirs = rows.get(("synthetic", n), mine)
        rows[_real(n, everything)] = rows["real_augmented", n] = real(n)
        rows["synthetic_equal_information", n] = mine
        rows["real_and_synthetic", 2 * n] = both(real(n), theirs)
        rows["real_augmented_and_synthetic", 2 * n] = both(
            real(n), mine if n < everything else theirs
        )
    if plan.few:
        few, most = plan.few, max(plan.sizes)
        shots, mixed = real(few), both(real(few), own(few, most))
        rows |= dict(zip(_few_shot(few, most), (shots, mixed, shots, mixed), strict=True))
    augment = choose_augment(options.augment, train.shape[0], options.augmentation)
    return [
        Task(
            *key,
            partial(_ready, rows[key]),
            against,
            reverse.get(key),
            augment if "augmented" in key[0] or key[0] == UNTIL else None,
            options.until_validation if key[0] == UNTIL else None,
            optional=True,
        )
        for key, against in plan.against.items()
    ]


def _real(n: int, everything: int) -> Key:
    """The real row of as many images, or of all."""
    return ("real_equal_n", n) if n < everything else ("real_all", everything)


def _few_shot(few: int, most: int) -> dict[Key, Key | None]:
    """Rows of few real images, and of synthetic ones beside them."""
    plain, augmented = ("few_shot_real", few), ("few_shot_real_augmented", few)
    return {
        plain: None,
        ("few_shot_real_and_synthetic", few + most): plain,
        augmented: plain,
        ("few_shot_real_augmented_and_synthetic", few + most): augmented,
    }


def _ready(row: Row) -> Row:
    return row

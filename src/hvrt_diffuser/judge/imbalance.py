"""Classes of unequal size: whether synthetic images help more than the remedies that all have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.bounds import Repetitions, Share
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.augmentation import Augment, Augmentation, choose_augment
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge.intervals import Interval, bootstrap, bootstrap_gain, gain_p, holm
from hvrt_diffuser.judge.recall import recall_at_precision
from hvrt_diffuser.judge.rows import Row, all_images
from hvrt_diffuser.judge.tstr import Predictions, Task, train_and_test
from hvrt_diffuser.samplers import InterpolationEstimator

__all__ = ["Generate", "ImbalanceOptions", "imbalance", "tabulate_imbalance", "thinned"]

Generate = Callable[[int, int, int], Tensor]
"""From a class, a number and a seed to images uint8 (n, c, h, w) of that class."""

REFERENCE = "oversampled_augmented"
NEIGHBOURS = 5  # SMOTE's own
SEED = 0  # of the resampling: a table is what the predictions say, whatever the run's seed


class ImbalanceOptions(Options):
    """How remedies for classes of unequal size are compared."""

    seeds: Repetitions = Field(
        5, ge=2, description="repetitions, each with draws and weights of its own"
    )
    precision: Share = Field(
        0.9, gt=0, lt=1, description="at which the recall of the rarest class is read off"
    )


def imbalance(
    train: LabelledImages,
    test: LabelledImages,
    generate: Generate | None,
    options: ImbalanceOptions,
    *,
    seed: int,
    device: torch.device,
    classifier: ClassifierOptions = ClassifierOptions(),  # noqa: B008  # frozen
    augment: Augment | None = None,
    autoencoder: Autoencoder | None = None,
    origin: Mapping[str, Any] | None = None,
    done: Predictions | None = None,
    keep: Callable[[Predictions], None] = lambda predictions: None,
) -> dict[str, Any]:
    """Classifiers at the user's own counts of classes, after each remedy.

    The rows, of which each repetition trains one classifier with the same weights to start from:

    - ``as_is``: the training images alone;
    - ``class_weights``: drawn with replacement, by weights that are inverse to the counts: in
      expectation the gradient of a loss that is weighted by class;
    - ``oversampled``: images of each class repeated until it is as large as the largest;
    - ``oversampled_augmented``: these, augmented in each batch, the one that others are compared
      with;
    - ``smote``: the lack filled between latents of neighbours (Chawla et al. 2002), decoded;
    - ``synthetic``, ``synthetic_augmented``: the lack filled with synthetic images.

    Args:
        train: real images, as unequal as they are.
        test: real images that neither ``generate`` nor ``autoencoder`` has seen.
        generate: draws synthetic images, and has seen ``train`` alone; None leaves these rows out.
        options: repetitions and precision.
        seed: of everything random.
        device: where to train.
        classifier: the same for every row.
        augment: of a batch; None chooses by the number of channels.
        autoencoder: of ``train``; None leaves SMOTE out.
        origin: what ``generate`` is, kept with the predictions.
        done: what an earlier call that was cut off has kept.
        keep: is given all predictions so far after every classifier.

    Returns:
        JSON, see :func:`tabulate_imbalance`; beside it ``steps``, ``origin`` and ``left_out``, the
        reason by row.

    Raises:
        InputError: classes of equal size, or test images of fewer than two classes.
    """
    counts = torch.bincount(train.labels, minlength=len(train.class_names))
    most = int(counts.max())
    if bool((counts == most).all()):
        raise InputError(
            f"each of the {len(counts)} classes has {most} training images, expected classes of "
            "unequal size, which are to be balanced: give counts to try fewer of some"
        )
    lack = {c: most - n for c, n in enumerate(counts.tolist()) if 0 < n < most}
    augment = augment or choose_augment("auto", train.shape[0], Augmentation())
    repeated = _filled(train, lack, partial(_repeats, train))
    rows: dict[str, tuple[Row, Augment | None]] = {
        "as_is": (all_images(train), None),
        "class_weights": (_weighted(train, most), None),
        "oversampled": (repeated, None),
        REFERENCE: (repeated, augment),
    }
    left_out = {}
    smote = _smote(train, autoencoder, counts, device)
    if isinstance(smote, str):
        left_out["smote"] = smote
    else:
        rows["smote"] = _filled(train, lack, smote), None
    if generate is None:
        left_out |= dict.fromkeys(("synthetic", "synthetic_augmented"), "no generator was given")
    else:
        synthetic = _filled(train, lack, generate)
        rows |= {"synthetic": (synthetic, None), "synthetic_augmented": (synthetic, augment)}
    full = len(train) + sum(lack.values())
    keys = {name: (name, len(train) if name == "as_is" else full) for name in rows}
    predictions = train_and_test(
        [
            Task(*keys[name], partial(_ready, row), augment=how, optional=row is not repeated)
            for name, (row, how) in rows.items()
        ],
        test,
        classifier,
        seeds=options.seeds,
        seed=derive_seed(seed, "imbalance"),
        device=device,
        origin=origin or {},
        done=done,
        keep=keep,
    )
    left_out |= {
        name: predictions.left_out[k] for name, k in keys.items() if k in predictions.left_out
    }
    table = tabulate_imbalance(
        {
            name: [predictions.probabilities[(*key, r)].numpy() for r in range(options.seeds)]
            for name, key in keys.items()
            if name not in left_out
        },
        predictions.labels.numpy(),
        counts.numpy(),
        train.class_names,
        precision=options.precision,
    )
    for row in table["rows"]:
        row["n"] = keys[row["row"]][1]
    return {
        "origin": dict(predictions.origin),
        "steps": classifier.steps,
        "left_out": left_out,
        **table,
    }


def tabulate_imbalance(
    probabilities: Mapping[str, Sequence[NDArray[np.floating[Any]]]],
    labels: NDArray[np.int64],
    counts: NDArray[np.int64],
    class_names: tuple[str, ...],
    *,
    precision: float,
) -> dict[str, Any]:
    """What the predictions of rows say, with 95 % intervals over test images and repetitions.

    Args:
        probabilities: by row and repetition, (m, k), of the test images; one row is
            ``oversampled_augmented``.
        labels: (m,), of the test images.
        counts: (k,), training images of each class.
        class_names: k of them.
        precision: at which the recall of the rarest class is read off.

    Returns:
        JSON: ``counts`` by class, ``rarest`` class, ``n_test``, ``chance`` (balanced accuracy of a
        constant answer), ``precision`` and ``rows``, of ``row``, ``seeds``, balanced accuracy in
        percent (``mean``, ``low``, ``high``), ``gain`` over ``oversampled_augmented`` in points
        (the same) and ``p_holm`` of it, over all gains (both None for that row), ``recall`` of the
        rarest class in percent (the same; None with a ``reason``) and ``per_class``, its recall in
        percent where there are test images.
    """
    right = {
        name: np.stack([p.argmax(1) == labels for p in own]) for name, own in probabilities.items()
    }
    found = np.unique(labels)
    known = np.where(counts > 0, counts, counts.max() + 1)
    rarest = int(known.argmin())
    how: dict[str, Any] = {"seed": SEED, "balanced": True}
    reference = right[REFERENCE]
    compared = {name: own for name, own in right.items() if name != REFERENCE}
    gains = {
        name: bootstrap_gain(own, reference, labels, **how)._asdict()
        for name, own in compared.items()
    }
    p_holm = holm({n: gain_p(own, reference, labels, **how) for n, own in compared.items()})
    rows = []
    for name, own in right.items():
        recall = recall_at_precision(
            [p[:, rarest] for p in probabilities[name]],
            labels,
            rarest,
            counts,
            precision=precision,
            seed=SEED,
        )
        rows.append(
            {
                "row": name,
                "seeds": len(own),
                **bootstrap(own, labels, **how)._asdict(),
                "gain": gains.get(name),
                "p_holm": p_holm.get(name),
                "recall": recall._asdict() if isinstance(recall, Interval) else None,
                "reason": recall if isinstance(recall, str) else None,
                "per_class": {
                    class_names[c]: 100 * float(own[:, labels == c].mean()) for c in found
                },
            }
        )
    return {
        "counts": dict(zip(class_names, counts.tolist(), strict=True)),
        "rarest": class_names[rarest],
        "n_test": len(labels),
        "chance": 100 / len(found),
        "precision": precision,
        "rows": rows,
    }


def thinned(train: LabelledImages, counts: Mapping[str, int], *, seed: int) -> LabelledImages:
    """Some classes with fewer of their images, drawn at random, the others as they are.

    Args:
        train: real images.
        counts: by name of a class, how many of its images are kept, at least 1.
        seed: of the draw.

    Raises:
        InputError: an unknown class, or more images than it has.
    """
    order = torch.randperm(len(train), generator=generator(seed, "imbalance", "thinned"))
    kept = torch.ones(len(train), dtype=torch.bool)
    for name, n in counts.items():
        if name not in train.class_names:
            raise InputError(
                f"counts names the class {name!r}, expected one of {', '.join(train.class_names)}: "
                "correct the name"
            )
        own = order[train.labels[order] == train.class_names.index(name)]
        if not 1 <= n <= len(own):
            raise InputError(
                f"counts asks for {n} images of class {name}, expected 1 to the {len(own)} that "
                "there are: lower it, or leave the class out of counts"
            )
        kept[own[n:]] = False
    return train[kept.nonzero()[:, 0]]


def _weighted(train: LabelledImages, most: int) -> Row:
    """As many images as even classes have, drawn with weights inverse to the counts of classes."""
    counts = torch.bincount(train.labels, minlength=len(train.class_names))
    weights = 1 / counts[train.labels].double()
    n = most * int((counts > 0).sum())

    def row(seed: int) -> tuple[Tensor, Tensor]:
        source = generator(seed, "imbalance", "weights")
        rows = torch.multinomial(weights, n, replacement=True, generator=source)
        return train.images[rows], train.labels[rows]

    return row


def _filled(train: LabelledImages, lack: Mapping[int, int], generate: Generate) -> Row:
    """The training images, and of each class as many further ones as it lacks."""

    def row(seed: int) -> tuple[Tensor, Tensor]:
        images = [generate(c, n, derive_seed(seed, "imbalance", c)) for c, n in lack.items()]
        labels = [torch.full((n,), c) for c, n in lack.items()]
        return torch.cat([train.images, *images]), torch.cat([train.labels, *labels])

    return row


def _repeats(train: LabelledImages, class_id: int, n: int, seed: int) -> Tensor:
    """Images of a class again and again, each as often as another or once more."""
    own = (train.labels == class_id).nonzero()[:, 0]
    order = own[torch.randperm(len(own), generator=generator(seed, "repeats"))]
    return train.images[order.repeat(-(-n // len(own)))[:n]]


def _smote(
    train: LabelledImages, autoencoder: Autoencoder | None, counts: Tensor, device: torch.device
) -> Generate | str:
    """What draws between the latents of neighbours; or why nothing can."""
    if autoencoder is None:
        return "no autoencoder was given"
    least = int(counts.min())
    if least < 2:
        return (
            f"class {train.class_names[int(counts.argmin())]} has {least} training images, of "
            "which none is another's neighbour"
        )
    latents, _ = encode_images(autoencoder, train.images, device)
    estimator = InterpolationEstimator(neighbours=min(NEIGHBOURS, least - 1))
    drawer = HVRTDiffuser(autoencoder, estimator.fit(latents, train.labels), device)
    return lambda class_id, n, seed: drawer.generate_conditional(n, class_id=class_id, seed=seed)


def _ready(row: Row) -> Row:
    return row

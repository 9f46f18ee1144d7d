"""The judge alone: any synthetic images, whoever made them, against the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, JudgeOptions, train_judge
from hvrt_diffuser.common.bounds import Count, Repetitions, Seed, Share
from hvrt_diffuser.common.devices import DeviceName, resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.judge.examine import (
    check_comparable,
    examine,
    trained_extractors,
    untrained_extractors,
)
from hvrt_diffuser.judge.extractors import dinov2_features
from hvrt_diffuser.judge.inspection import doubtful, look, without_leaks
from hvrt_diffuser.judge.summary import summarise
from hvrt_diffuser.judge.tstr import of_any_images

__all__ = ["JudgeRequest", "judge", "with_classes_of"]

LARGEST = 10_000  # synthetic images that a classifier is trained on


class JudgeRequest(Options):
    """How images are judged."""

    training: bool = Field(
        True, description="train classifiers; without, labels and utility have no answer"
    )
    made_from_train: bool = Field(
        True,
        description="whether the synthetic images may have been made from the training images; if "
        "not, and without test images, a part of those is held out as such",
    )
    held_out: Share = Field(0.2, gt=0, lt=1, description="that part")
    seeds: Repetitions = Field(3, ge=2, description="classifiers of each row")
    n: Count | None = Field(
        None, ge=2, description="images of a row; null takes as many as there are, up to 10,000"
    )
    classifier: ClassifierOptions = Field(ClassifierOptions(), description="of each row")
    judge: JudgeOptions = Field(JudgeOptions(), description="the classifier that sees labels")
    dinov2: Path | None = Field(None, description="file of the weights of DINOv2, to look through")
    seed: Seed = Field(0, description="of everything random")
    device: DeviceName = Field("auto", description="where to compute")


def judge(
    train: LabelledImages,
    synthetic: LabelledImages,
    test: LabelledImages | None = None,
    request: JudgeRequest | None = None,
) -> dict[str, Any]:
    """An honest word on synthetic images.

    Args:
        train: the real images that they were made from, or may have been.
        synthetic: what is judged; its classes are some of the real ones, by name.
        test: real images that the generator has not seen.
        request: how; None takes the defaults.

    Returns:
        JSON, finite numbers or None: of :func:`hvrt_diffuser.judge.summarise`, and ``dataset``,
        ``machine``, ``request`` and ``seed``.

    Raises:
        InputError: sets that do not compare; before anything is trained.
    """
    request = request or JudgeRequest()
    device, seed = resolve_device(request.device), request.seed
    synthetic = with_classes_of(train, synthetic)
    every = torch.arange(len(train.class_names))
    check_comparable(synthetic, train, every)
    if test is not None:
        test = with_classes_of(train, test)
        check_comparable(test, train, every)
    elif not request.made_from_train:
        train, test = hold_out(train, request.held_out, seed=seed)
    seen = look(train, test, seed=seed)
    if test is not None:
        test = without_leaks(test, seen)
    extractors = untrained_extractors(train.images, device)
    if request.dinov2 is not None:
        extractors["dinov2"] = dinov2_features(request.dinov2, device)
    labeller, reason = None, "No classifier was trained, as was asked for."
    if request.training:
        seen |= {"doubtful": doubtful(train, seed=seed, device=device)}
        labeller, reason = _labeller(train, request, device)
        if labeller is not None:
            extractors = {**trained_extractors(labeller, device), **extractors}
    found = examine(
        synthetic,
        train,
        test,
        extractors,
        judge=labeller,
        expected=every,
        seed=seed,
        device=device,
    )
    tstr = None
    if test is not None and labeller is not None:
        tstr, reason = _tried(
            partial(
                of_any_images,
                train,
                synthetic,
                test,
                request.classifier,
                n=min(request.n or LARGEST, len(synthetic)),
                seeds=request.seeds,
                seed=seed,
                device=device,
            )
        )
    elif test is None:
        reason = found["without_test"]
    return {
        **summarise({**found, "untrained": reason}, tstr, seen),
        "dataset": {
            "source": train.source,
            "synthetic": synthetic.source,
            "n_train": len(train),
            "n_test": len(test) if test is not None else 0,
            "shape": list(train.shape),
            "classes": list(train.class_names),
            "fingerprint": fingerprint(train),
            "fingerprint_synthetic": fingerprint(synthetic),
        },
        "machine": describe_machine(),
        "request": request.model_dump(mode="json"),
        "seed": seed,
    }


def with_classes_of(real: LabelledImages, images: LabelledImages) -> LabelledImages:
    """The same images, their classes numbered as those of ``real``.

    Raises:
        InputError: a class that ``real`` does not have.
    """
    if images.class_names == real.class_names:
        return images
    known = {name: place for place, name in enumerate(real.class_names)}
    used = {images.class_names[c] for c in images.labels.unique().tolist()}
    if others := sorted(used - known.keys()):
        raise InputError(
            f"{images.source} has images of the class {', '.join(others)}, which {real.source} "
            f"does not have, expected some of {', '.join(real.class_names)}: name the classes of "
            "both alike, or leave these out"
        )
    places = torch.tensor([known.get(name, -1) for name in images.class_names])
    return replace(images, labels=places[images.labels], class_names=real.class_names)


def _labeller(
    train: LabelledImages, request: JudgeRequest, device: torch.device
) -> tuple[Classifier | None, str]:
    """A classifier of the training images, or why there is none."""
    k = len(train.class_names)
    if k < 2:
        return None, "All images are of one class: there is nothing to classify."
    return _tried(
        lambda: train_judge(
            train.images, train.labels, k, request.judge, seed=request.seed, device=device
        )
    )


def _tried(make: Callable[[], Any]) -> tuple[Any, str]:
    """What could be made, or else the reason."""
    try:
        return make(), ""
    except InputError as error:
        return None, f"No classifier could be trained: {error}."

"""Everything that can be said of synthetic images without training classifiers on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.attack import attack, copying
from hvrt_diffuser.judge.extractors import (
    Extractor,
    classifier_features,
    middle_features,
    random_features,
    statistics,
)
from hvrt_diffuser.judge.likeness import likeness

__all__ = ["check_comparable", "examine", "trained_extractors", "untrained_extractors"]

NO_TEST = (
    "There are no test images that neither the generator nor anything else has seen: give some to "
    "have this answered."
)


def trained_extractors(judge: Classifier, device: torch.device) -> dict[str, Extractor]:
    """Extractors of a classifier of the training images, at two depths.

    Args:
        judge: the classifier.
        device: where to compute.
    """
    return {
        "classifier": classifier_features(judge, device),
        "classifier_middle": middle_features(judge, device),
    }


def untrained_extractors(real: Tensor, device: torch.device) -> dict[str, Extractor]:
    """Extractors that no generator was trained against: one network's features are no verdict.

    Args:
        real: uint8 (n, c, h, w), whose statistics whiten and standardise.
        device: where to compute.
    """
    return {"random": random_features(real, device), "statistics": statistics(real)}


def examine(
    synthetic: LabelledImages,
    train: LabelledImages,
    test: LabelledImages | None,
    extractors: Mapping[str, Extractor],
    *,
    judge: Classifier | None,
    expected: Tensor,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Likeness, labels, copies and membership.

    Args:
        synthetic: what is judged.
        train: the images that it was made from.
        test: images that the generator has not seen; None leaves most without an answer.
        extractors: by name, of the likeness.
        judge: a classifier of the training images, which is asked about labels; None for nobody.
        expected: int64, the classes that the synthetic images should hold.
        seed: of halves and subsets.
        device: where to compute.

    Returns:
        JSON, finite numbers or None: ``n`` by set; ``classes``; ``missing_classes``;
        ``label_agreement``, in ``percent`` of ``n``, None without a judge; ``per_class``;
        ``likeness`` by extractor; ``copies``; ``membership``.

    Raises:
        InputError: the synthetic images do not compare with the real ones.
    """
    check_comparable(synthetic, train, expected)
    names, present = train.class_names, synthetic.labels.unique().tolist()
    of_class = torch.isin(train.labels, expected)
    members = train.images if of_class.all() else train.images[of_class]
    found: dict[str, Any] = {
        "n": {"synthetic": len(synthetic), "train": len(members)},
        "classes": [names[c] for c in present],
        "missing_classes": [names[c] for c in expected.tolist() if c not in present],
        "label_agreement": None,
        "likeness": {},
        "without_test": NO_TEST,
    }
    if test is None:
        none = members[:0]
        found["copies"] = copying(members, none, synthetic.images, seed=seed)
        found["membership"] = attack(members, none, synthetic.images, seed=seed)
        for part in ("copies", "membership"):
            found[part] |= {"reason": NO_TEST}
        found["per_class"] = _per_class(synthetic, None, None, expected, names)
        return _without_rows(found)
    check_comparable(test, train, torch.arange(len(names)))
    asked = torch.isin(test.labels, expected)
    own = test if asked.all() else test[asked]
    found["n"]["test"] = len(own)
    agree = None
    if judge is not None:
        agree = {
            name: classify(judge, each.images, device)[1].argmax(1) == each.labels
            for name, each in (("synthetic", synthetic), ("test", own))
        }
        found["label_agreement"] = {
            name: {"percent": _percent(values), "n": len(values)} for name, values in agree.items()
        }
    found["likeness"] = likeness(synthetic.images, own.images, extractors, seed=seed)
    found["copies"] = copying(members, own.images, synthetic.images, seed=seed)
    found["membership"] = attack(members, own.images, synthetic.images, seed=seed)
    found["per_class"] = _per_class(synthetic, own, agree, expected, names)
    return _without_rows(found)


def _without_rows(found: dict[str, Any]) -> dict[str, Any]:
    """Without the distances of single images, of which there are thousands."""
    found["copies"] = {k: v for k, v in found["copies"].items() if k not in ("draws", "fresh")}
    return found


def _per_class(
    synthetic: LabelledImages,
    test: LabelledImages | None,
    agree: Mapping[str, Tensor] | None,
    expected: Tensor,
    names: tuple[str, ...],
) -> dict[str, dict[str, dict[str, Any]]]:
    """By class and set, how many images there are, and in how many the judge sees their label."""
    sets = {"test": test, "synthetic": synthetic}
    return {
        names[c]: {
            name: {
                "n": int((images.labels == c).sum()) if images else 0,
                "agreement": _percent(agree[name][images.labels == c])
                if agree and images
                else None,
            }
            for name, images in sets.items()
        }
        for c in expected.tolist()
    }


def _percent(values: Tensor) -> float | None:
    """The share of what is true; None of nothing."""
    return 100 * float(values.double().mean()) if len(values) else None


def check_comparable(synthetic: LabelledImages, real: LabelledImages, expected: Tensor) -> None:
    """Check that two sets are of one shape and of the same classes.

    Raises:
        InputError: they are not, or the first set is one image again and again.
    """
    if synthetic.shape != real.shape:
        raise InputError(
            f"{synthetic.source} has images of shape {synthetic.shape} and {real.source} of "
            f"{real.shape} (channels, height, width), expected one shape: compare images of one "
            "size, all grey or all RGB"
        )
    if synthetic.class_names != real.class_names:
        one, other = set(synthetic.class_names), set(real.class_names)
        raise InputError(
            f"{synthetic.source} has the classes {', '.join(synthetic.class_names)} and "
            f"{real.source} {', '.join(real.class_names)}, expected the same ones: "
            + (
                f"{', '.join(sorted(one ^ other))} stands in one of them alone"
                if one != other
                else "give them in the same order"
            )
        )
    others = ~torch.isin(synthetic.labels, expected)
    if others.any():
        found = synthetic.class_names[int(synthetic.labels[others][0])]
        raise InputError(
            f"{int(others.sum())} of the images of {synthetic.source} are of other classes than "
            f"were asked for, such as {found}: generate them again, or judge with the class_id "
            "that they were made with"
        )
    if len(synthetic) > 1 and (synthetic.images == synthetic.images[0]).all():
        raise InputError(
            f"all {len(synthetic):,} images of {synthetic.source} are the same one, expected at "
            "least two that differ: look at what drew them"
        )

"""What was found, as the JSON that reports of runs and of folders have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hvrt_diffuser.judge.diagnosis import limit
from hvrt_diffuser.judge.findings import BOUNDS, in_place_of_real, reach_verdict

__all__ = ["summarise"]

NAMED = 3  # doubtful labels, in a sentence


def summarise(
    found: Mapping[str, Any], tstr: Mapping[str, Any] | None, look: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The verdict, and by question the figures that it rests on.

    Args:
        found: of :func:`hvrt_diffuser.judge.examine`.
        tstr: of :func:`hvrt_diffuser.judge.tabulate`; None where nothing was trained.
        look: of :func:`hvrt_diffuser.judge.look`; None where nobody looked.

    Returns:
        JSON, finite numbers or None: ``verdict``, ``bounds``, ``n``, ``likeness`` (the worst
        extractor's, and ``by_extractor``), ``copies``, ``membership``, ``data``, ``tstr``,
        ``gain_over_augmentation``, ``per_class``, the ``worst_class`` and what is the ``limit``.
    """
    measured = [own for own in found["likeness"].values() if own["e"] is not None]
    worst = max(measured, key=lambda own: own["e"], default=dict.fromkeys(("e", "low", "high")))
    table, pair = _classes(found, tstr), _largest(tstr)
    return {
        "verdict": reach_verdict(found, tstr),
        "bounds": {name: list(bounds) for name, bounds in BOUNDS.items()},
        "n": dict(found["n"]),
        "likeness": {
            **{key: worst[key] for key in ("e", "low", "high")},
            "by_extractor": dict(found["likeness"]),
        },
        "copies": dict(found["copies"]),
        "membership": dict(found["membership"]),
        "data": {**look, "sentences": _in_words(look)} if look else None,
        "tstr": tstr["rows"] if tstr else None,
        "gain_over_augmentation": tstr["gain_over_augmentation"] if tstr else None,
        "trts": tstr["trts"] if tstr else None,
        "confusion": tstr["confusion"] if tstr else None,
        "tstr_protocol": {k: tstr[k] for k in ("n_test", "steps")} if tstr else None,
        "per_class_n": pair[0]["n"] if pair else None,
        "per_class": table,
        "worst_class": _worst(table),
        "limit": limit(found, BOUNDS["excess"][1]),
    }


def _largest(tstr: Mapping[str, Any] | None) -> tuple[Any, Any] | None:
    """The row of most synthetic images, and the real one that it is compared with."""
    pairs = in_place_of_real(tstr) if tstr else []
    return pairs[-1] if pairs else None


def _classes(found: Mapping[str, Any], tstr: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A line per class; accuracies are those of the largest number of synthetic images."""
    pair = _largest(tstr)
    of_synthetic, of_real = (row["per_class"] for row in pair) if pair else ({}, {})

    def accuracy(of: Mapping[str, Any], name: str) -> Any:
        own = of.get(name)
        return own["mean"] if isinstance(own, Mapping) else own

    return [
        {
            "name": name,
            "n": own["synthetic"]["n"],
            "n_test": own["test"]["n"],
            "agreement": own["synthetic"]["agreement"],
            "agreement_test": own["test"]["agreement"],
            "accuracy": accuracy(of_synthetic, name),
            "accuracy_real": accuracy(of_real, name),
            "gain": (pair[0]["gain_per_class"] or {}).get(name) if pair else None,
        }
        for name, own in found["per_class"].items()
    ]


def _worst(table: list[dict[str, Any]]) -> str | None:
    """The class that loses most for sure, in a sentence; None where nothing tells any apart."""
    lost = [row for row in table if row["gain"] is not None and row["gain"]["high"] < 0]
    if lost:
        row = min(lost, key=lambda own: own["gain"]["mean"])
        return (
            f"{row['name']}: {row['accuracy']:.1f}% of its test images are told after synthetic "
            f"images, {row['accuracy_real']:.1f}% after as many real ones."
        )
    told = [r for r in table if None not in (r["agreement"], r["agreement_test"])]
    below = [r for r in told if r["agreement_test"] - r["agreement"] > BOUNDS["label_agreement"][0]]
    if below:
        row = max(below, key=lambda own: own["agreement_test"] - own["agreement"])
        return (
            f"{row['name']}: its label is seen in {row['agreement']:.1f}% of its synthetic images "
            f"and in {row['agreement_test']:.1f}% of its test images."
        )
    return None


def _of_some(found: Mapping[str, Any]) -> str:
    """Of how many images near twins were looked for, where not of all."""
    looked_at = found["looked_at"]
    return f" (of {looked_at:,} images at random that were looked at)" if looked_at else ""


def _in_words(look: Mapping[str, Any]) -> list[str]:
    """What a look at the real images found."""
    found, duplicates, leaks = [], look["duplicates"], look["leaks"]
    for name, own in duplicates.items():
        if own and own["exact"] + own["near"]:
            labels = f"; {own['two_labels']} bear two labels" if own["two_labels"] else ""
            found.append(
                f"Of the {'training' if name == 'train' else 'test'} images, {own['exact']:,} "
                f"repeat another exactly and {own['near']:,} pairs nearly{labels}"
                f"{_of_some(own)}."
            )
    if leaks and leaks["rows"]:
        found.append(
            f"{len(leaks['rows']):,} test images were left out, since they stand in the training "
            f"images as well: {leaks['exact']:,} exactly, {leaks['near']:,} nearly{_of_some(leaks)}"
            + (f", {leaks['group']:,} by their group." if leaks["group"] else ".")
        )
    doubts = look["doubtful"]
    if doubts and doubts["n"]:
        listed = ", ".join(
            f"{own['image']} ({own['given']}, rather {own['likelier']})"
            for own in doubts["images"][:NAMED]
        )
        found.append(
            f"The labels of {doubts['n']:,} training images ({doubts['share']:.1%}) are doubtful, "
            f"most of all {listed}."
        )
    elif doubts and doubts["reason"]:
        found.append(f"No label was doubted: {doubts['reason']}.")
    return found or ["No image stands in them twice, and no test image among the training images."]

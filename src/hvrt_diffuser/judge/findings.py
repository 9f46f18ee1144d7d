"""The verdict: four questions, each answered by a grade, a sentence and the numbers behind it.

A grade is given only where the whole interval of a figure lies within it; else the images are too
few to tell, which is a grade of its own. No figure here changes with the number of images, only its
interval does. The bounds stand in :data:`BOUNDS`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from hvrt_diffuser.judge.diagnosis import unlike

__all__ = ["BOUNDS", "GRADES", "Finding", "Grade", "Verdict", "in_place_of_real", "reach_verdict"]

Grade = Literal["good", "fair", "poor", "unknown"]
GRADES: tuple[Grade, ...] = ("good", "fair", "poor")
"""From the best to the worst; ``unknown`` is none of them: too few images, or none, to tell."""

BOUNDS: dict[str, tuple[float, float]] = {
    # name: (good up to, or from, here; fair up to, or from, here)
    "excess": (0.014, 0.045),  # excess Fréchet distance, in variances of the test images
    "label_agreement": (3.0, 10.0),  # points below the classifier's accuracy on test images
    "learnt_of_real": (0.98, 0.9),  # balanced accuracy above chance, over that after real images
    "gain_over_augmentation": (0.0, -1.0),  # points of balanced accuracy
    "tail": (0.03, 0.1),  # share of draws nearer than 99% of fresh images
    "farther": (0.45, 0.2),  # P(a draw is farther from the training images than a fresh image)
    "auc": (0.55, 0.65),
    "tpr_at_1": (0.03, 0.1),
}
"""Where one grade ends and the next begins; docs/judge.md says what each comes from."""

HIGH_IS_GOOD = {"learnt_of_real", "gain_over_augmentation", "farther"}
UNLIKE = "unlike"  # a finding that distances mean nothing
Z = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at, one of :data:`BOUNDS`, ``classes``, ``exact_copies`` or
            ``unlike``.
        grade: the one that the whole interval lies in, else ``unknown``.
        sentence: what was found, with its numbers; or why nothing could be.
        value: what was measured; None where nothing could be.
        low: lower end of its 95% interval.
        high: upper end.
        between: the best and the worst grade that the interval allows for.
    """

    name: str
    grade: Grade
    sentence: str
    value: float | None
    low: float | None = None
    high: float | None = None
    between: tuple[Grade, Grade] = ("good", "poor")


@dataclass(frozen=True)
class Verdict:
    """The answer to one question.

    Attributes:
        question: in words.
        grade: the worst of its findings; ``unknown`` where their intervals leave that open.
        sentence: the answer.
        findings: what it rests on.
    """

    question: str
    grade: Grade
    sentence: str
    findings: tuple[Finding, ...]


def reach_verdict(
    found: Mapping[str, Any], tstr: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Answer ``likeness``, ``utility``, ``novelty`` and ``membership``.

    Args:
        found: what :func:`hvrt_diffuser.judge.examine` gave.
        tstr: the table of :func:`hvrt_diffuser.judge.tabulate`; None where nothing was trained.

    Returns:
        JSON: :class:`Verdict` by the name of its question.
    """
    findings = {
        "likeness": _likeness(found),
        "utility": _utility(found, tstr),
        "novelty": _novelty(found),
        "membership": _membership(found),
    }
    return {name: asdict(_answer(name, tuple(own))) for name, own in findings.items()}


QUESTIONS = {
    "likeness": "Do they look like the real ones?",
    "utility": "Do they help beyond augmenting the real ones?",
    "novelty": "Are they copies?",
    "membership": "Could somebody find out which images they were made from?",
}
ANSWERS: dict[str, dict[Grade, str]] = {
    "likeness": {
        "good": "Yes: about as much as real images look like other real ones.",
        "fair": "Largely: they can be told from real images, by less than half of each class's "
        "images missing would show.",
        "poor": "No: they miss a part of the real images, or hold what real images do not.",
        "unknown": "Too few images to tell how much.",
    },
    "utility": {
        "good": "Yes: a classifier gains by them what augmentation does not give.",
        "fair": "No gain over augmentation is shown, and not much is lost by training on them.",
        "poor": "No: classifiers get worse with them.",
        "unknown": "Too few images, or no classifier trained, to tell.",
    },
    "novelty": {
        "good": "No: they are as far from the training images as fresh real images are.",
        "fair": "In part: they lie nearer to training images than fresh images do.",
        "poor": "Yes: many are training images, or nearly.",
        "unknown": "Too few images to tell.",
    },
    "membership": {
        "good": "Hardly: this attack does little better than chance.",
        "fair": "For some of them, yes.",
        "poor": "Yes: for many of them.",
        "unknown": "Too few images to tell.",
    },
}


def _answer(name: str, findings: tuple[Finding, ...]) -> Verdict:
    best, worst = (
        max((finding.between[end] for finding in findings), key=GRADES.index) for end in (0, 1)
    )
    grade: Grade = best if best == worst else "unknown"
    sentence = ANSWERS[name][grade]
    open_ones = [finding for finding in findings if finding.value is None]
    if grade == "unknown" and (len(findings) == 1 or findings[0].name == UNLIKE) and open_ones:
        sentence = open_ones[0].sentence
    elif grade == "unknown" and (best, worst) != ("good", "poor"):
        sentence = f"Too few images to tell: between {best} and {worst}."
    return Verdict(QUESTIONS[name], grade, sentence, findings)


def _graded(name: str, sentence: str, value: float, low: float, high: float) -> Finding:
    """A finding whose grade its whole interval lies in."""
    ends = (high, low) if name in HIGH_IS_GOOD else (low, high)
    best, worst = (_grade(name, end) for end in ends)
    grade: Grade = best if best == worst else "unknown"
    if grade == "unknown":
        sentence += f" Too few images to tell: between {best} and {worst}."
    return Finding(name, grade, sentence, value, low, high, (best, worst))


def _grade(name: str, value: float) -> Grade:
    sign = -1 if name in HIGH_IS_GOOD else 1
    good, fair = BOUNDS[name]
    return (
        "good" if sign * value <= sign * good else "fair" if sign * value <= sign * fair else "poor"
    )


def _unknown(name: str, sentence: str) -> Finding:
    return Finding(name, "unknown", sentence, None)


def _sure(name: str, grade: Grade, sentence: str, value: float) -> Finding:
    return Finding(name, grade, sentence, value, value, value, (grade, grade))


def _likeness(found: Mapping[str, Any]) -> Iterator[Finding]:
    if missing := found["missing_classes"]:
        yield _sure(
            "classes",
            "poor",
            f"No image of class {', '.join(missing)} is there.",
            float(len(missing)),
        )
    if not found["likeness"]:
        yield _unknown("excess", found["without_test"])
    for extractor, own in found["likeness"].items():
        where = WHERE.get(extractor, extractor)
        if own["e"] is not None:
            yield _graded(
                "excess",
                f"In {where} they are {own['e']:.3f} [{own['low']:.3f}, {own['high']:.3f}] "
                "variances farther from test images than other test images are.",
                own["e"],
                own["low"],
                own["high"],
            )
        elif own["p"] is None:
            yield _unknown("excess", f"In {where}: {own['reason']}")
        elif own["p"] < 0.05 / len(found["likeness"]):
            # A test says that they differ, and not by how much: good is out, poor is not.
            sentence = (
                f"In {where} they can be told from {own['n']:,} test images (kernel distance "
                f"{own['kid']:.3g}, p = {own['p']:.2g}), too few to say by how much."
            )
            yield Finding(
                "excess", "unknown", sentence, own["kid"], None, None, between=("fair", "poor")
            )
        else:
            yield _unknown(
                "excess",
                f"In {where} nothing tells them from {own['n']:,} test images (p = "
                f"{own['p']:.2g}), which are too few to show that they are alike.",
            )


WHERE = {
    "classifier": "the features of a classifier of the real images",
    "classifier_middle": "what that classifier sees half-way",
    "random": "the features of an untrained network (it sees noise and fine structure)",
    "statistics": "brightness, colour and frequencies",
    "inception": "Inception's features",
    "dinov2": "DINOv2's features",
}


def _utility(found: Mapping[str, Any], tstr: Mapping[str, Any] | None) -> Iterator[Finding]:
    agreement = found["label_agreement"]
    if agreement:
        own, of_test = agreement["synthetic"], agreement["test"]
        (told, n), (real, m) = ((each["percent"], each["n"]) for each in (own, of_test))
        spread = Z * np.sqrt(sum(_variance(p, k) for p, k in ((told, n), (real, m))))
        below = real - told
        yield _graded(
            "label_agreement",
            f"A classifier of real images sees in {told:.1f}% of them what their label says, and "
            f"in {real:.1f}% of real test images.",
            below,
            below - spread,
            below + spread,
        )
    if not tstr:
        yield _unknown("gain_over_augmentation", found.get("untrained") or UNTRAINED)
        return
    for row, real_row in in_place_of_real(tstr):
        chance = 100 / tstr["n_classes"]
        above = max(real_row["balanced"] - chance, 1e-12)
        gain = row["gain"]
        value, low, high = ((above + gain[end]) / above for end in ("mean", "low", "high"))
        yield _graded(
            "learnt_of_real",
            f"Trained on {row['n']:,} of them, a classifier gets {row['balanced']:.2f} "
            f"[{row['balanced_low']:.2f}, {row['balanced_high']:.2f}]% of each class of real test "
            f"images right, and {real_row['balanced']:.2f}% after {real_row['n']:,} real ones: "
            f"{value:.1%} of what these teach above chance.",
            value,
            low,
            high,
        )
    yield _gain(tstr)


UNTRAINED = "No classifier was trained on them."


def _variance(percent: float, n: int) -> float:
    """Of a share in percent of n; a share of 0 or 1 has some, too (Agresti & Coull 1998)."""
    p = (percent / 100 * n + Z**2 / 2) / (n + Z**2)
    return 1e4 * p * (1 - p) / (n + Z**2)


def in_place_of_real(tstr: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Rows of synthetic images alone, and the real rows of as many images; of few images first.

    Where every image is a test image in turn, there are only rows whose generators saw no more than
    the real row.
    """
    rows = {(row["row"], row["n"]): row for row in tstr["rows"]}
    names = {name for name, _ in rows}
    own = "synthetic" if "synthetic" in names else "synthetic_equal_information"
    found = [row for (name, _), row in rows.items() if name == own and row["against"]]
    return [(row, rows[tuple(row["against"])]) for row in sorted(found, key=lambda row: row["n"])]


def _gain(tstr: Mapping[str, Any]) -> Finding:
    """Good where something is gained for sure; fair where little can be lost."""
    name, gain = "gain_over_augmentation", tstr["gain_over_augmentation"]
    if gain is None or gain["mean"] is None:
        return _unknown(name, "Whether they help beyond augmentation was not measured.")
    value, low, high = gain["mean"], gain["low"], gain["high"]
    augmented = ""
    if (own := tstr.get("gain_of_augmentation")) is not None:
        does = "gains" if own["mean"] >= 0 else "costs"
        augmented = f"Augmenting the real images {does} {abs(own['mean']):.2f} points; "
    sentence = (
        f"{augmented}{'adding' if augmented else 'Adding'} synthetic ones to that gains "
        f"{value:.2f} [{low:.2f}, {high:.2f}]."
    )
    gained, little = BOUNDS[name]
    grade: Grade = (
        "good"
        if low > gained
        else "poor"
        if high < gained
        else "fair"
        if low > little
        else "unknown"
    )
    if grade == "unknown":
        sentence += " Too few test images or repetitions to tell."
        return Finding(name, grade, sentence, value, low, high, ("good", "poor"))
    return Finding(name, grade, sentence, value, low, high, (grade, grade))


def _novelty(found: Mapping[str, Any]) -> Iterator[Finding]:
    if why := unlike(found):
        yield _unknown(UNLIKE, why)
    copies = found["copies"]
    share = copies["exact"] / found["n"]["synthetic"]
    good, fair = BOUNDS["tail"]
    if share > good:
        yield _sure(
            "exact_copies",
            "fair" if share <= fair else "poor",
            f"{copies['exact']:,} of them ({share:.1%}) are training images, to the last pixel.",
            share,
        )
    if copies["tail"] is None:
        yield _unknown("tail", copies["reason"])
        return
    yield _graded(
        "tail",
        f"{copies['tail']:.1%} of them lie nearer to a training image than 99% of fresh real "
        f"images do [{copies['tail_low']:.1%}, {copies['tail_high']:.1%}]; of fresh ones, 1%.",
        copies["tail"],
        copies["tail_low"],
        copies["tail_high"],
    )
    yield _graded(
        "farther",
        f"In {copies['a']:.0%} of pairs, one of them is farther from the training images than a "
        f"fresh real image [{copies['a_low']:.0%}, {copies['a_high']:.0%}]; half would be as far"
        + (f" (C_T = {copies['ct']:.1f})." if copies["ct"] is not None else "."),
        copies["a"],
        copies["a_low"],
        copies["a_high"],
    )


def _membership(found: Mapping[str, Any]) -> Iterator[Finding]:
    own = found["membership"]
    if own["auc"] is None:
        yield _unknown("auc", own["reason"])
        return
    yield _graded(
        "auc",
        f"An attack on {own['n_released']:,} released images tells a training image from another "
        f"in {own['auc']:.1%} of pairs [{own['auc_low']:.1%}, {own['auc_high']:.1%}]; half would "
        "be chance.",
        own["auc"],
        own["auc_low"],
        own["auc_high"],
    )
    if own["tpr_at_1"] is None:
        yield _unknown("tpr_at_1", own["reason"])
        return
    yield _graded(
        "tpr_at_1",
        f"Whoever holds an image can tell, with 1% false alarms, for {own['tpr_at_1']:.1%} "
        f"[{own['tpr_low']:.1%}, {own['tpr_high']:.1%}] of the training images that they were "
        "used; 1% would be chance.",
        own["tpr_at_1"],
        own["tpr_low"],
        own["tpr_high"],
    )

"""The verdict: three questions, each answered by a grade, a sentence and the numbers behind it.

A grade compares with what real images or a pure copier score in the same run, so that it depends
neither on the dataset nor on the number of images. Where a bound is a matter of judgement it stands
in :data:`BOUNDS`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST

__all__ = ["BOUNDS", "Finding", "Verdict", "reach_verdict"]

Grade = Literal["good", "fair", "poor", "unknown"]
GRADES: tuple[Grade, ...] = ("good", "fair", "poor")

BOUNDS: dict[str, tuple[float, float]] = {
    # name: (good up to, or from, here; fair up to, or from, here)
    "fd_over_floor": (2.0, 10.0),  # Fréchet distance, over that of real training images
    "precision_of_floor": (0.9, 0.7),  # of the precision of real training images
    "coverage_of_floor": (0.9, 0.7),
    "recall_of_floor": (0.9, 0.6),
    "label_agreement": (3.0, 10.0),  # points below the judge's accuracy on test images
    "error_over_real": (1.25, 2.5),  # TSTR errors, over those after as many real images
    "learnt_of_real": (0.98, 0.9),  # TSTR accuracy above chance, over that after real images
    "dcr_ratio": (0.9, 0.3),
}
"""Where one grade ends and the next begins."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at, one of :data:`BOUNDS` or ``classes``.
        grade: ``good``, ``fair`` or ``poor``.
        sentence: what was found, with its numbers.
        value: what the bounds were compared with.
    """

    name: str
    grade: Grade
    sentence: str
    value: float


@dataclass(frozen=True)
class Verdict:
    """The answer to one question: the worst grade of its findings.

    Attributes:
        question: in words.
        grade: ``unknown`` where utility rests on labels that agree, and no classifier.
        answer: one sentence.
        findings: what it rests on.
    """

    question: str
    grade: Grade
    answer: str
    findings: tuple[Finding, ...]


def reach_verdict(
    evaluation: Mapping[str, Any], tstr: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Answer ``likeness``, ``utility`` and ``novelty``.

    Args:
        evaluation: what :func:`hvrt_diffuser.judge.measure` gave, with ``judge_accuracy``.
        tstr: the table of :func:`hvrt_diffuser.judge.tstr.tabulate`; None where nothing was
            trained.

    Returns:
        JSON: :class:`Verdict` by the name of its question.
    """
    utility = _answer(
        "Can a classifier be trained on them?",
        _utility(evaluation, tstr),
        UTILITY_ANSWERS if tstr else UNTRAINED_ANSWERS,
    )
    if not tstr and utility.grade == "good":
        # Labels that agree are needed for training, and do not show that it works.
        utility = replace(utility, grade="unknown")
    verdicts = {
        "likeness": _answer(
            "Do they look like the real ones?", _likeness(evaluation), LIKENESS_ANSWERS
        ),
        "utility": utility,
        "novelty": _answer("Are they copies?", [_dcr(evaluation)], NOVELTY_ANSWERS),
    }
    return {name: asdict(verdict) for name, verdict in verdicts.items()}


LIKENESS_ANSWERS: dict[Grade, str] = {
    "good": "Yes: by every measure about as much as real images look like other real ones.",
    "fair": "Largely: they can be told from real images, and hold most of what those hold.",
    "poor": "No: they miss a part of the real images, or hold what real images do not.",
}
UTILITY_ANSWERS: dict[Grade, str] = {
    "good": "Yes: about as well as on as many real images.",
    "fair": "Yes, at a price: it makes more errors than after as many real images.",
    "poor": "No: it makes many more errors than after as many real images.",
}
UNTRAINED_ANSWERS: dict[Grade, str] = {
    "good": "No classifier was trained on them; their labels agree with what they show.",
    "fair": "No classifier was trained on them; some labels disagree with what they show.",
    "poor": "Hardly: none was trained on them, and many labels disagree with what they show.",
}
NOVELTY_ANSWERS: dict[Grade, str] = {
    "good": "No: they are about as far from the training images as fresh real images are.",
    "fair": "In part: they stand between copies of training images and fresh images.",
    "poor": "Yes: they are nearly copies of training images, and as private as those.",
}


def _answer(question: str, findings: Iterable[Finding], answers: Mapping[Grade, str]) -> Verdict:
    found = tuple(findings)
    grade = max((finding.grade for finding in found), key=GRADES.index)
    return Verdict(question, grade, answers[grade], found)


def _likeness(evaluation: Mapping[str, Any]) -> Iterable[Finding]:
    if evaluation["missing_classes"]:
        missing = evaluation["missing_classes"]
        yield Finding(
            "classes",
            "poor",
            f"No image of class {', '.join(missing)} was generated.",
            float(len(missing)),
        )
    fd = evaluation["fd_classifier"]
    ratio = fd[SYNTHETIC] / max(fd["real_floor"], 1e-12)
    yield Finding(
        "fd_over_floor",
        _low_is_good("fd_over_floor", ratio),
        f"Their Fréchet distance to test images is {fd[SYNTHETIC]:.2f}, {ratio:.1f} times the "
        f"{fd['real_floor']:.2f} of real training images; a pure copier scores "
        f"{fd['copy_floor']:.2f}.",
        ratio,
    )
    sets = evaluation["manifold_classifier"]
    for name, what in (
        ("precision", "of them lie where real images lie"),
        ("coverage", "of the surroundings of real images hold one of them"),
        ("recall", "of real images lie where they lie"),
    ):
        value, floor = sets[SYNTHETIC][name], sets["real_floor"][name]
        share = value / max(floor, 1e-12)
        yield Finding(
            f"{name}_of_floor",
            _high_is_good(f"{name}_of_floor", share),
            f"{value:.0%} {what} ({name}), against {floor:.0%} for real training images.",
            share,
        )


def _utility(evaluation: Mapping[str, Any], tstr: Mapping[str, Any] | None) -> Iterable[Finding]:
    agreement = evaluation["label_agreement"]
    below = evaluation["judge_accuracy"] - agreement[SYNTHETIC]
    yield Finding(
        "label_agreement",
        _low_is_good("label_agreement", below),
        f"A classifier of real images sees in {agreement[SYNTHETIC]:.1f}% of them what their label "
        f"says, and in {agreement[TEST]:.1f}% of real test images.",
        below,
    )
    for row, real in _compared(tstr):
        ratio = (100 - row["mean"]) / max(100 - real["mean"], 1e-12)
        yield Finding(
            "error_over_real",
            _low_is_good("error_over_real", ratio),
            f"Trained on {row['n']:,} of them, a classifier gets {row['mean']:.2f} ± "
            f"{row['std']:.2f}% of real test images right; on as many real ones {real['mean']:.2f} "
            f"± {real['std']:.2f}% (McNemar's p = {row['mcnemar_p']:.2g}).",
            ratio,
        )
        # Where real images teach little, even chance is not many times their errors.
        chance = 100 / len(row["per_class"])
        learnt = (row["mean"] - chance) / max(real["mean"] - chance, 1e-12)
        yield Finding(
            "learnt_of_real",
            _high_is_good("learnt_of_real", learnt),
            f"That is {learnt:.0%} of what real images teach above chance.",
            learnt,
        )


def _compared(tstr: Mapping[str, Any] | None) -> Iterable[tuple[Any, Any]]:
    """Synthetic rows, and the real rows that they are compared with."""
    rows = {(row["row"], row["n"]): row for row in tstr["rows"]} if tstr else {}
    for (name, _), row in rows.items():
        if name == "synthetic":
            yield row, rows[tuple(row["against"])]


def _dcr(evaluation: Mapping[str, Any]) -> Finding:
    # Copies stand out in one of two spaces: decoded as they are, or decoded alike.
    space = min(("image", "raw"), key=lambda name: float(evaluation[f"dcr_{name}"][SYNTHETIC]))
    ratio = evaluation[f"dcr_{space}"][SYNTHETIC]
    authentic = evaluation[f"authentic_{space}"]
    return Finding(
        "dcr_ratio",
        _high_is_good("dcr_ratio", ratio),
        f"Their distance to the closest training image is {ratio:.2f} times that of fresh real "
        f"images (0 is a copy), and {authentic[SYNTHETIC]:.0%} of them are farther from it than "
        f"its own neighbour is, against {authentic[TEST]:.0%} of fresh images.",
        ratio,
    )


def _low_is_good(name: str, value: float) -> Grade:
    good, fair = BOUNDS[name]
    return "good" if value <= good else "fair" if value <= fair else "poor"


def _high_is_good(name: str, value: float) -> Grade:
    good, fair = BOUNDS[name]
    return "good" if value >= good else "fair" if value >= fair else "poor"

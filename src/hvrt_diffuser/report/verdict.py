"""What came out of a run, in a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hvrt_diffuser.common.names import plain
from hvrt_diffuser.judge import BOUNDS, limit, reach_verdict
from hvrt_diffuser.report.plots import set_name

__all__ = ["describe_run", "utility_lines", "verdict_lines"]

FLOORS = ("real_floor", "reconstruction_floor", "copy_floor")


def describe_run(
    evaluation: Mapping[str, Any] | None,
    tstr: Mapping[str, Any] | None,
    *,
    places: Mapping[str, str],
    seconds: float,
    node_seconds: Mapping[str, float],
    see_more: str | None,
) -> str:
    """A few lines for the terminal.

    Args:
        evaluation: metrics of ``evaluation``; None where it did not run.
        tstr: metrics of ``tstr``; None where it did not run.
        places: where something lies, by what it is called.
        seconds: wall time of the nodes, their loading and saving included.
        node_seconds: of each node.
        see_more: the command that shows the rest, if there is one.
    """
    lines = ["", *(f"{title:18}{place}" for title, place in places.items())]
    if evaluation:
        lines += verdict_lines(reach_verdict(evaluation, tstr))
        if why := limit(evaluation, BOUNDS["excess"][1]):
            lines.append(f"{'The limit':18}{why}")
        lines += _fidelity(evaluation)
    if tstr:
        lines += utility_lines(tstr["rows"], tstr["n_test"])
    slowest = sorted(node_seconds.items(), key=lambda item: -item[1])[:4]
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in slowest)
    lines += [f"Time              {seconds:.0f} s, most of it: {spent}"]
    lines += [f"See more          {see_more}"] if see_more else []
    return "\n".join([*map(plain, lines), ""])


def verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    """Each question with its answer, and the findings that it rests on where it is not good."""
    title = "Verdict"
    lines = []
    for found in verdict.values():
        lines.append(f"{title:18}{found['question']} {found['sentence']}")
        title = ""
        lines += [
            f"    {finding['grade']:>10}    {finding['sentence']}"
            for finding in found["findings"]
            if finding["grade"] != "good" and finding["sentence"] != found["sentence"]
        ]
    return lines


def _fidelity(evaluation: Mapping[str, Any]) -> list[str]:
    fd, n = evaluation["fd_classifier"], evaluation["n"]
    if fd["synthetic"] is None:
        return []
    vae = next(name for name in fd if name.startswith("vae_"))
    head = (
        f"Fidelity          Fréchet distance in the classifier's features to "
        f"{n['test']:,} real test images (not FID):"
    )
    rows = [f"    {fd['synthetic']:10.2f}    the {n['synthetic']:,} synthetic images"]
    rows += [f"    {fd[name]:10.2f}    {set_name(name)}" for name in (*FLOORS, vae)]
    excess = fd["synthetic"] - fd["copy_floor"]
    return [head, *rows, f"    {excess:10.2f}    what the synthetic images have over pure copies"]


def utility_lines(rows: Sequence[Mapping[str, Any]], n_test: int) -> list[str]:
    """The accuracy of each row of TSTR that a user could have."""
    if not rows:
        return []
    lines = [
        f"Utility           accuracy on {n_test:,} real test images of a classifier trained on "
        f"({rows[0]['seeds']} seeds, 95% interval):"
    ]
    texts = {
        "real_all": "all {n:,} real training images",
        "real_all_until_validation": "the same, augmented, until validation stops it",
        "real_augmented": "{n:,} real training images, augmented",
        "real_equal_n": "{n:,} real training images",
        "synthetic": "{n:,} synthetic images",
        "synthetic_equal_information": "{n:,} synthetic images of a generator that saw as many "
        "real ones",
        "real_and_synthetic": "{n:,} images, real and synthetic",
        "real_augmented_and_synthetic": "{n:,} images, real and synthetic, augmented",
        "few_shot_real": "{n:,} real training images",
        "few_shot_real_augmented": "these, augmented",
        "few_shot_real_and_synthetic": "these and synthetic images made from them, {n:,} in all",
        "few_shot_real_augmented_and_synthetic": "the same, augmented",
    }
    for row in rows:
        if row["row"] in texts:
            text = texts[row["row"]].format(n=row["n"])
            lines.append(f"    {row['mean']:8.2f}% [{row['low']:.2f}, {row['high']:.2f}]    {text}")
    return lines

"""What came out of a run, in a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hvrt_diffuser.judge import reach_verdict
from hvrt_diffuser.report import set_name

__all__ = ["describe_run"]

FLOORS = ("real_floor", "reconstruction_floor", "copy_floor")


def describe_run(
    evaluation: Mapping[str, Any] | None,
    tstr: Mapping[str, Any] | None,
    *,
    places: Mapping[str, str],
    seconds: float,
    node_seconds: Mapping[str, float],
    see_more: str,
) -> str:
    """A few lines for the terminal.

    Args:
        evaluation: metrics of ``evaluation``; None where it did not run.
        tstr: metrics of ``tstr``; None where it did not run.
        places: where something lies, by what it is called.
        seconds: wall time of the nodes, their loading and saving included.
        node_seconds: of each node.
        see_more: the command that shows the rest.
    """
    lines = ["", *(f"{title:18}{place}" for title, place in places.items())]
    if evaluation:
        lines += _verdict(evaluation, tstr)
        lines += _fidelity(evaluation)
    if tstr:
        lines += _utility(tstr)
    slowest = sorted(node_seconds.items(), key=lambda item: -item[1])[:4]
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in slowest)
    lines += [f"Time              {seconds:.0f} s, most of it: {spent}"]
    lines += [f"See more          {see_more}", ""]
    return "\n".join(lines)


def _verdict(evaluation: Mapping[str, Any], tstr: Mapping[str, Any] | None) -> list[str]:
    title = "Verdict"
    lines = []
    for found in reach_verdict(evaluation, tstr).values():
        lines.append(f"{title:18}{found['question']} {found['answer']}")
        title = ""
        lines += [
            f"    {finding['grade']:>10}    {finding['sentence']}"
            for finding in found["findings"]
            if finding["grade"] == found["grade"] != "good"
        ]
    return lines


def _fidelity(evaluation: Mapping[str, Any]) -> list[str]:
    fd, n = evaluation["fd_classifier"], evaluation["n"]
    vae = next(name for name in fd if name.startswith("vae_"))
    head = (
        f"Fidelity          Fréchet distance in the classifier's features to "
        f"{n['test']:,} real test images (not FID):"
    )
    rows = [f"    {fd['synthetic']:10.2f}    the {n['synthetic']:,} synthetic images"]
    rows += [f"    {fd[name]:10.2f}    {set_name(name)}" for name in (*FLOORS, vae)]
    excess = fd["synthetic"] - fd["copy_floor"]
    return [head, *rows, f"    {excess:10.2f}    what the synthetic images have over pure copies"]


def _utility(tstr: Mapping[str, Any]) -> list[str]:
    rows = tstr["rows"]
    lines = [
        f"Utility           accuracy on {tstr['n_test']:,} real test images of a classifier "
        f"trained on ({rows[0]['seeds']} seeds):"
    ]
    texts = {
        "real_all": "all {n:,} real training images",
        "real_equal_n": "{n:,} real training images",
        "synthetic": "{n:,} synthetic images",
        "synthetic_equal_information": "{n:,} synthetic images of a generator that saw {n:,} real "
        "ones",
        "real_and_synthetic": "{n:,} images, real and synthetic",
        "few_shot_real": "{n:,} real training images",
        "few_shot_real_and_synthetic": "these and synthetic images made from them, {n:,} in all",
    }
    for row in rows:
        if row["row"] in texts:
            text = texts[row["row"]].format(n=row["n"])
            lines.append(f"    {row['mean']:8.2f}% ± {row['std']:.2f}    {text}")
    return lines

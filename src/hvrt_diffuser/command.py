"""``hvrt-diffuser judge``: the verdict on images that lie in folders, from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images

__all__ = ["main"]

SHORT = 3  # exit code where a grade that was required was not reached


def main(arguments: Sequence[str]) -> int:
    """Judge, print the verdict and write what was asked for; the exit code.

    Args:
        arguments: what follows ``hvrt-diffuser judge``.
    """
    terminal.install()
    given = _parser().parse_args(arguments)
    from hvrt_diffuser.judge import JudgeRequest, judge

    required = _required(given.require)
    try:
        request = JudgeRequest(
            training=not given.no_training,
            made_from_train=not given.independent,
            seeds=given.seeds,
            n=given.n,
            dinov2=given.dinov2,
            seed=given.seed,
            device=given.device,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"--{first['loc'][0]} is {first['input']}, which is out of range: "
            f"{first['msg'].lower()}; correct it"
        ) from error
    train, test = _read(given.train, given.resize)
    if given.test is not None:
        test = _read_one(given.test, given.resize)
    synthetic = _read_one(given.synthetic, given.resize)
    report = judge(train, synthetic, test, request)
    command = " ".join(["hvrt-diffuser", "judge", *arguments])
    from hvrt_diffuser.report.judged import describe, write

    print(describe(report))  # noqa: T201
    if given.out is not None:
        write(report, train, synthetic, test, given.out, command=command)
        print(f"Written to {given.out}: report.html, report.json, README.md")  # noqa: T201
    short = [
        f"{name} is {report['verdict'][name]['grade']}, not {grade}"
        for name, grade in required.items()
        if not _reaches(report["verdict"][name]["grade"], grade)
    ]
    if short:
        print(f"Required and not reached: {'; '.join(short)}.", file=sys.stderr)  # noqa: T201
    return SHORT if short else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hvrt-diffuser judge",
        description="Can these synthetic images be trusted? Folders with a folder per class, or "
        "parquet files; no run and no autoencoder is needed. Exit code 0 whatever the verdict.",
    )
    path: dict[str, Any] = {"type": Path, "metavar": "A"}
    parser.add_argument("--train", **path, required=True, help="real images they were made from")
    path["metavar"] = "B"
    parser.add_argument("--synthetic", **path, required=True, help="the synthetic images")
    path["metavar"] = "C"
    parser.add_argument("--test", **path, help="real images that the generator has not seen")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write page, JSON and card there"
    )
    parser.add_argument(
        "--require",
        default="",
        metavar="QUESTION=GRADE,...",
        help="exit 3 where a grade falls short, such as likeness=fair,novelty=good",
    )
    parser.add_argument(
        "--independent",
        action="store_true",
        help="the synthetic images were not made from A: without C, a fifth of A is held out",
    )
    parser.add_argument(
        "--no-training", action="store_true", help="train no classifier: minutes faster, no utility"
    )
    parser.add_argument("--resize", type=int, metavar="SIDE", help="resize all images, in pixels")
    parser.add_argument("--n", type=int, help="images that each classifier is trained on")
    parser.add_argument("--seeds", type=int, default=3, help="classifiers of each row (3)")
    parser.add_argument("--dinov2", type=Path, metavar="FILE", help="weights of DINOv2")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    return parser


def _required(text: str) -> dict[str, str]:
    from hvrt_diffuser.judge.findings import GRADES, QUESTIONS

    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, grade = part.partition("=")
        if name not in QUESTIONS or grade not in GRADES:
            raise InputError(
                f"--require has {part}, expected QUESTION=GRADE with one of "
                f"{', '.join(QUESTIONS)} and one of {', '.join(GRADES)}: correct it"
            )
        found[name] = grade
    return found


def _reaches(grade: str, wanted: str) -> bool:
    """Whether a grade is as good; one that could not be told is not."""
    from hvrt_diffuser.judge.findings import GRADES

    order: tuple[str, ...] = GRADES
    return grade in order and order.index(grade) <= order.index(wanted)


def _read(root: Path, resize: int | None) -> tuple[LabelledImages, LabelledImages | None]:
    """The images that a path holds, and those of its test split."""
    splits = read_images("auto", root=root, resize=resize)
    return splits.train, splits.test


def _read_one(root: Path, resize: int | None) -> LabelledImages:
    """The same, of which no part is a test split."""
    train, test = _read(root, resize)
    if test is not None:
        raise InputError(
            f"{root} holds a training and a test split, expected one set of images: give one of "
            "its folders or files"
        )
    return train

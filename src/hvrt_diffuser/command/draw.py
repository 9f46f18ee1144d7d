"""``hvrt-diffuser draw``: images from a model that was made, with a card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hvrt_diffuser.common.bounds import MOST_IMAGES, MOST_SEED, whole_number
from hvrt_diffuser.common.errors import InputError

__all__ = ["add_parser", "run"]

EXAMPLE = """\
example:
  hvrt-diffuser draw made/model -n 1000 --out more/
  hvrt-diffuser draw made/model -n 50 --class rocket --seed 1 --out rockets/ --form parquet
  hvrt-diffuser draw made/model -n 1000000 --out million/ --shards --workers 8
"""
FORMS = ("image_folder", "parquet", "webdataset")
SHARDED = ("parquet", "webdataset")
MOST_WORKERS = 1024
SAMPLER = "latent_sampler.safetensors"


def add_parser(subparsers: Any) -> None:
    """Add the options of ``draw``."""
    parser = subparsers.add_parser(
        "draw",
        description="Draw labelled images from a model, and write them with a card.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a folder with latent_sampler.safetensors and autoencoder.safetensors, such as "
        "FOLDER/model of make or data/06_models/RUN of a project",
    )
    parser.add_argument("-n", type=int, default=100, help="how many images (100)")
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="of all images; without it, all classes in their real proportions",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("drawn"),
        metavar="FOLDER",
        help="for the images (drawn); earlier draws there are replaced, and nothing else is",
    )
    parser.add_argument(
        "--form", choices=FORMS, help="of the files (image_folder; with --shards parquet)"
    )
    parser.add_argument(
        "--shards",
        action="store_true",
        help="files of 8,192 images each: memory does not grow with -n, and the same command goes "
        "on after a kill; the images are others than without it",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="with --shards: processes, which change no byte (one for each core, or for the GPU)",
    )


def run(given: argparse.Namespace) -> int:
    """Draw, write, and say where the images lie; the exit code.

    Raises:
        InputError: no model, no such class, or a folder that holds something else.
    """
    folder = _model(given.model)
    whole_number("-n", given.n, 1, MOST_IMAGES)
    whole_number("--seed", given.seed, 0, MOST_SEED)
    if given.shards and given.form not in (None, *SHARDED):
        raise InputError(
            f"--form {given.form} was given with --shards, expected {' or '.join(SHARDED)}, whose "
            "files hold many images: choose one of them, or leave --shards out"
        )
    if given.workers is not None:
        whole_number("--workers", given.workers, 1, MOST_WORKERS)
        if not given.shards:
            raise InputError(
                "--workers was given without --shards, expected both, since workers divide files "
                "among themselves: add --shards, or leave --workers out"
            )
    given.form = given.form or (SHARDED if given.shards else FORMS)[0]
    from hvrt_diffuser.command.drawing import draw_at_once, draw_file_by_file

    if given.shards:
        try:
            draw_file_by_file(folder, given)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on where this one stopped") from None
    else:
        draw_at_once(folder, given)
    what = f" of class {given.class_name}" if given.class_name else ""
    print(f"{given.n:,} images{what}: {given.out} (its README.md is the card)")  # noqa: T201
    return 0


def _model(folder: Path) -> Path:
    """The folder that holds the model, or whose folder ``model`` does."""
    folder = folder.expanduser()
    for place in (folder, folder / "model"):
        if (place / SAMPLER).is_file():
            return place
    raise InputError(
        f"{folder} holds no {SAMPLER}, expected the folder of a model, such as FOLDER/model of "
        "hvrt-diffuser make: correct the path"
    )

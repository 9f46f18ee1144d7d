"""``hvrt-diffuser draw``: images from a model that was made, with a card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvrt_diffuser.command.parser import suggestion
from hvrt_diffuser.common.bounds import MOST_IMAGES, MOST_SEED, whole_number
from hvrt_diffuser.common.errors import InputError

if TYPE_CHECKING:
    from hvrt_diffuser.data.images import LabelledImages
    from hvrt_diffuser.diffuser import HVRTDiffuser

__all__ = ["add_parser", "run"]

EXAMPLE = """\
example:
  hvrt-diffuser draw made/model -n 1000 --out more/
  hvrt-diffuser draw made/model -n 50 --class rocket --seed 1 --out rockets/ --form parquet
"""
FORMS = ("image_folder", "parquet", "webdataset")
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
    parser.add_argument("--form", choices=FORMS, default="image_folder", help="of the files")


def run(given: argparse.Namespace) -> int:
    """Draw, write, and say where the images lie; the exit code.

    Raises:
        InputError: no model, no such class, or a folder that holds something else.
    """
    folder = _model(given.model)
    whole_number("-n", given.n, 1, MOST_IMAGES)
    whole_number("--seed", given.seed, 0, MOST_SEED)
    from hvrt_diffuser.catalog import Export, ExportDataset
    from hvrt_diffuser.common.devices import resolve_device
    from hvrt_diffuser.data.card import dataset_card
    from hvrt_diffuser.diffuser import HVRTDiffuser

    export = ExportDataset(filepath=str(given.out.expanduser()))
    export.place.check()
    diffuser = HVRTDiffuser.load(folder, resolve_device(given.device))
    images = _draw(diffuser, given)
    card = dataset_card(_facts(diffuser, images, given))
    export.save(Export(images, given.form, card))
    what = f" of class {given.class_name}" if given.class_name else ""
    print(f"{len(images):,} images{what}: {given.out} (its README.md is the card)")  # noqa: T201
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


def _draw(diffuser: HVRTDiffuser, given: argparse.Namespace) -> LabelledImages:
    import torch

    from hvrt_diffuser.data.images import LabelledImages

    names = diffuser.class_names
    labels = None
    if given.class_name is not None:
        if given.class_name not in names:
            raise InputError(
                f"the model has no class {given.class_name!r}: "
                f"{suggestion(given.class_name, names)}"
            )
        labels = torch.full((given.n,), names.index(given.class_name))
    drawn = list(diffuser.stream(given.n, labels, seed=given.seed))
    images, labels = (torch.cat(part) for part in zip(*drawn, strict=True))
    return LabelledImages(images, labels, names, "synthetic images")


def _facts(diffuser: HVRTDiffuser, images: LabelledImages, given: argparse.Namespace) -> Any:
    import torch

    from hvrt_diffuser.common.machine import describe_machine
    from hvrt_diffuser.data.card import CardFacts

    names = diffuser.class_names
    counts = torch.bincount(images.labels, minlength=len(names)).tolist()
    machine = describe_machine()
    encoder = diffuser.autoencoder
    return CardFacts(
        title=f"Synthetic images: {given.out.resolve().name}",
        form=given.form,
        classes=list(zip(names, counts, strict=True)),
        shape=images.shape,
        source=diffuser.source or "not recorded",
        n_training=int(diffuser.counts.sum()),
        autoencoder=f"{encoder.architecture.latent_dim} latent dimensions" if encoder else "none",
        sampler=diffuser.origin["sampler"],
        seed=given.seed,
        versions={k: v for k, v in machine.items() if k not in ("processor", "system")},
        command=given.typed,
        verdict=[],
        evidence=[],
    )

"""What ``draw`` does: images of a model into a folder with a card, at once or file by file."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hvrt_diffuser.catalog import Export, ExportDataset
from hvrt_diffuser.command.parser import suggestion
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_file
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.processes import processes
from hvrt_diffuser.data.card import CARD, CardFacts, dataset_card, export_place
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import AUTOENCODER_FILE, BLOCK, SAMPLER_FILE, HVRTDiffuser
from hvrt_diffuser.sharding import ShardedDraw, draw_shards

__all__ = ["draw_at_once", "draw_file_by_file"]

VERSIONS = ("hvrt_diffuser", "torch", "numpy")  # on which bytes may depend


def draw_at_once(model: Path, given: argparse.Namespace) -> None:
    """Draw, and write all that was drawn.

    Raises:
        InputError: no such class, or a folder that holds something else.
    """
    export = ExportDataset(filepath=str(given.out.expanduser()))
    export.place.check()
    diffuser = HVRTDiffuser.load(model, resolve_device(given.device))
    class_id, names = _class(diffuser, given.class_name), diffuser.class_names
    labels = None if class_id is None else torch.full((given.n,), class_id)
    drawn = list(diffuser.stream(given.n, labels, seed=given.seed))
    images, labels = (torch.cat(part) for part in zip(*drawn, strict=True))
    counts = torch.bincount(labels, minlength=len(names)).tolist()
    found = LabelledImages(images, labels, names, "synthetic images")
    card = dataset_card(_facts(diffuser, counts, found.shape, given))
    export.save(Export(found, given.form, card))


def draw_file_by_file(model: Path, given: argparse.Namespace) -> None:
    """Draw what is missing of files of 8,192 images, by several processes.

    Raises:
        InputError: no such class, a folder that holds something else or files of another draw, or
            a file that was changed since it was drawn.
        OSError: a process was ended from outside.
    """
    device = resolve_device(given.device)
    diffuser = HVRTDiffuser.load(model, device)
    draw = ShardedDraw(
        str(model.resolve()),
        given.n,
        given.seed,
        _class(diffuser, given.class_name),
        given.form,
        str(device),
    )
    place, made_by = export_place(given.out.expanduser()), _made_by(draw, given.class_name)
    if place.holds(made_by):
        return
    at_once = torch.get_num_threads() if device.type == "cpu" else 1
    with (
        place.gathered(made_by) as (folder, notes),
        processes(min(given.workers or at_once, draw.n_shards)) as executor,
    ):
        found = draw_shards(draw, folder, notes, executor)
        card = dataset_card(_facts(diffuser, found.counts, found.shape, given))
        (folder / CARD).write_bytes(card.encode())


def _class(diffuser: HVRTDiffuser, name: str | None) -> int | None:
    """The number of a class."""
    names = diffuser.class_names
    if name is None:
        return None
    if name not in names:
        raise InputError(f"the model has no class {name!r}: {suggestion(name, names)}")
    return names.index(name)


def _made_by(draw: ShardedDraw, class_name: str | None) -> dict[str, Any]:
    """All that the bytes depend on, as JSON."""
    machine, model = describe_machine(), hashlib.sha256()
    for name in (SAMPLER_FILE, AUTOENCODER_FILE):
        path = Path(draw.model) / name
        model.update((hash_file(path) if path.exists() else "none").encode())
    return {
        "model": model.hexdigest()[:16],
        "n": draw.n,
        "seed": draw.seed,
        "class": class_name or "any",
        "form": draw.form,
        "images of a block": BLOCK,
        "device": torch.device(draw.device).type,
        **{name: machine[name] for name in VERSIONS},
    }


def _facts(
    diffuser: HVRTDiffuser,
    counts: Sequence[int],
    shape: tuple[int, int, int],
    given: argparse.Namespace,
) -> CardFacts:
    machine, encoder = describe_machine(), diffuser.autoencoder
    return CardFacts(
        title=f"Synthetic images: {given.out.resolve().name}",
        form=given.form,
        classes=list(zip(diffuser.class_names, counts, strict=True)),
        shape=shape,
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

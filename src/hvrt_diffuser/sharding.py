"""Many images of a model, in files of a fixed size that are each drawn by themselves.

Whoever draws them, in whatever order, the bytes are the same, and what is in memory does not grow
with their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from hvrt_diffuser.common import interruption
from hvrt_diffuser.common.bounds import MOST_IMAGES, MOST_SEED, whole_number
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_file, whole_file
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.data.encoding import ParquetImages, TarImages, encode_png
from hvrt_diffuser.diffuser import BLOCK, HVRTDiffuser

__all__ = [
    "SHARD",
    "ShardForm",
    "ShardedDraw",
    "Summary",
    "draw_shard",
    "draw_shards",
]

ShardForm = Literal["parquet", "webdataset"]
SHARD = 8 * BLOCK  # images of a file


@dataclass(frozen=True)
class ShardedDraw:
    """What is drawn: plain values, which travel to other processes.

    Attributes:
        model: the folder of the model.
        n: images, at least 1.
        seed: of the draws.
        class_id: of all images; None draws from all classes in their real proportions.
        form: ``parquet``: ``data/train-<shard>-of-<shards>.parquet`` in the layout of Hugging Face
            image datasets. ``webdataset``: ``train-<shard>.tar``, which hold ``<number>.png`` and
            ``<number>.cls`` of each image.
        device: where to draw, such as ``"cpu"``.

    Raises:
        InputError: n or the seed is out of range.
    """

    model: str
    n: int
    seed: int = 0
    class_id: int | None = None
    form: ShardForm = "parquet"
    device: str = "cpu"

    def __post_init__(self) -> None:
        whole_number("n", self.n, 1, MOST_IMAGES)
        whole_number("seed", self.seed, 0, MOST_SEED)

    @property
    def n_shards(self) -> int:
        """How many files."""
        return -(-self.n // SHARD)

    def file(self, shard: int) -> str:
        """The name of a file below the folder of all."""
        if self.form == "webdataset":
            return f"train-{shard:05d}.tar"
        return f"data/train-{shard:05d}-of-{self.n_shards:05d}.parquet"

    def blocks(self, shard: int) -> Iterator[tuple[int, int]]:
        """The numbers of a file's blocks, and how many images of each it holds."""
        end = min(self.n, (shard + 1) * SHARD)
        for start in range(shard * SHARD, end, BLOCK):
            yield start // BLOCK, min(BLOCK, end - start)


@dataclass(frozen=True)
class Summary:
    """What was drawn, in all files or in one.

    Attributes:
        counts: images of each class.
        shape: channels, height and width of an image.
    """

    counts: tuple[int, ...]
    shape: tuple[int, int, int]


def draw_shards(draw: ShardedDraw, folder: Path, notes: Path, executor: Executor) -> Summary:
    """Draw all files but those that are there and whole.

    Args:
        draw: what is drawn.
        folder: of the files, which holds none of another draw.
        notes: a folder beside it, which keeps what is known of each file.
        executor: does :func:`draw_shard`, in any process that sees the model and the folders.

    Raises:
        InputError: a file was changed since it was drawn; the model is missing, broken or knows
            no such class.
        OSError: a file could not be written, or a process died.
    """
    found = {shard: _kept(draw, shard, folder, notes) for shard in range(draw.n_shards)}
    with progress("drawing files of images", draw.n_shards, "files") as advance:
        tasks = {
            executor.submit(draw_shard, draw, shard, str(folder), str(notes)): shard
            for shard, kept in found.items()
            if kept is None
        }
        for _ in range(draw.n_shards - len(tasks)):
            advance("")
        try:
            for task in as_completed(tasks):
                task.result()
                found[tasks[task]] = _summary(_read(notes, tasks[task]))
                advance("")
        except BrokenProcessPool as error:
            raise OSError(
                "a process that drew images was ended from outside, as where memory is short, "
                "expected it to finish its file: the same command goes on with the files that are "
                "missing, and takes less memory with fewer workers"
            ) from error
        finally:
            for task in tasks:
                task.cancel()
    drawn = [each for each in found.values() if each is not None]
    counts = [sum(column) for column in zip(*(each.counts for each in drawn), strict=True)]
    return Summary(tuple(counts), drawn[0].shape)


def draw_shard(draw: ShardedDraw, shard: int, folder: str, notes: str) -> None:
    """Draw one file, whole or not at all, and then write the note on it.

    Raises:
        InterruptedWorkError: what waits for it was given up.
    """
    diffuser = _diffuser(draw.model, draw.device)
    counts = torch.zeros(diffuser.n_classes, dtype=torch.long)
    with whole_file(Path(folder) / draw.file(shard)) as temporary:
        with _opened(temporary, draw.form, diffuser.class_names, shard * SHARD) as file:
            for number, n in draw.blocks(shard):
                interruption.check()
                drawn = diffuser.block(number, n, draw.class_id, seed=draw.seed)
                file.write([encode_png(image) for image in drawn.images], drawn.labels)
                counts += torch.bincount(drawn.labels, minlength=len(counts))
        note = {
            "sha256": hash_file(temporary),
            "counts": counts.tolist(),
            "shape": list(drawn.images.shape[1:]),
        }
    with whole_file(_note(Path(notes), shard)) as temporary:
        temporary.write_text(json.dumps(note) + "\n", encoding="ascii")


def _opened(
    path: Path, form: ShardForm, class_names: tuple[str, ...], first: int
) -> ParquetImages | TarImages:
    if form == "webdataset":
        return TarImages(path, first)
    return ParquetImages(path, class_names, first=first)


@lru_cache(maxsize=1)
def _diffuser(model: str, device: str) -> HVRTDiffuser:
    return HVRTDiffuser.load(model, device)


def _note(notes: Path, shard: int) -> Path:
    return notes / f"{shard:05d}.json"


def _read(notes: Path, shard: int) -> dict[str, Any]:
    note: dict[str, Any] = json.loads(_note(notes, shard).read_text(encoding="ascii"))
    return note


def _summary(note: dict[str, Any]) -> Summary:
    c, h, w = note["shape"]
    return Summary(tuple(note["counts"]), (c, h, w))


def _kept(draw: ShardedDraw, shard: int, folder: Path, notes: Path) -> Summary | None:
    """Of a file that was drawn before; None where it has to be drawn."""
    path = folder / draw.file(shard)
    if not path.exists() or not _note(notes, shard).exists():
        return None
    note = _read(notes, shard)
    if hash_file(path) != note["sha256"]:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) is cut short or was changed since it was drawn, "
            "expected the file of that time: remove it, and the same command draws it again"
        )
    return _summary(note)

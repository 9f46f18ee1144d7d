"""``python -m hvrt_diffuser.experiments.scale.memory``: what stages add to a process's memory."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from hvrt_diffuser.autoencoders import encode_images
from hvrt_diffuser.catalog import SyntheticImagesDataset, TableDataset
from hvrt_diffuser.catalog.latents import latents_to_table
from hvrt_diffuser.catalog.synthetic import ImageStream
from hvrt_diffuser.common.machine import anonymous_peak
from hvrt_diffuser.common.processes import processes
from hvrt_diffuser.data.encoding import encode_png
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.experiments.scale.noise import CLASSES, autoencoder, batches, write_model
from hvrt_diffuser.experiments.scale.record import OUTPUT, line, record
from hvrt_diffuser.judge.inspection import look
from hvrt_diffuser.sharding import ShardedDraw, draw_shard

__all__ = ["STAGES", "measure", "peak"]

COMMAND = "python -m hvrt_diffuser.experiments.scale.memory"
NUMBERS = (6_000, 24_000)  # images; the first are more than what scratch keeps in memory
FEW = 64  # of a first call, which loads and keeps what any call needs

Work = Callable[[], object]


def _folder(root: Path, n: int) -> Work:
    """Reading a folder per class."""
    row = 0
    for name in CLASSES:
        (root / name).mkdir(parents=True)
    for images, labels in batches(n):
        for image, label in zip(images, labels.tolist(), strict=True):
            (root / CLASSES[label] / f"{row:08d}.png").write_bytes(encode_png(image))
            row += 1
    return partial(read_images, "image_folder", root=root)


def _parquet(root: Path, n: int) -> Work:
    """Reading a parquet file."""
    SyntheticImagesDataset(filepath=str(root / "train.parquet")).save(
        ImageStream(batches(n), CLASSES)
    )
    return partial(read_images, "parquet", root=root)


def _synthetic(root: Path, n: int) -> Work:
    """Loading synthetic images."""
    dataset = SyntheticImagesDataset(filepath=str(root / "images.parquet"))
    dataset.save(ImageStream(batches(n), CLASSES))
    return dataset.load


def _saved(root: Path, n: int) -> LabelledImages:
    """Images in a mapped file, as a run has them."""
    images, labels = (torch.cat(part) for part in zip(*batches(n), strict=True))
    LabelledImages(images, labels, CLASSES, "noise").save(root / "images.safetensors")
    return LabelledImages.load(root / "images.safetensors")


def _holding_out(root: Path, n: int) -> Work:
    """Holding test images out, and writing both."""
    images = _saved(root, n)

    def work() -> None:
        for name, part in zip(("train", "test"), hold_out(images, 0.2, seed=0), strict=True):
            part.save(root / f"{name}.safetensors")

    return work


def _looking(root: Path, n: int) -> Work:
    """Looking for duplicates and leaks."""
    images, m = _saved(root, n), n * 4 // 5
    return partial(look, images[:m], images[m:], seed=0)


def _encoding(root: Path, n: int) -> Work:
    """Encoding, and writing the table of latents."""
    images, network = _saved(root, n), autoencoder()
    dataset = TableDataset(filepath=str(root / "latents.parquet"))

    def work() -> None:
        latents, _ = encode_images(network, images.images, torch.device("cpu"))
        dataset.save(latents_to_table(latents, images.labels))

    return work


def _drawing(root: Path, n: int) -> Work:
    """Drawing files of images."""
    write_model(root)
    draw = ShardedDraw(str(root), n)

    def work() -> None:
        for shard in range(draw.n_shards):
            draw_shard(draw, shard, str(root / "new"), str(root / "notes"))

    return work


STAGES: dict[str, Callable[[Path, int], Work]] = {
    "folder": _folder,
    "parquet": _parquet,
    "holding_out": _holding_out,
    "looking": _looking,
    "encoding": _encoding,
    "synthetic": _synthetic,
    "drawing": _drawing,
}


def peak(stage: str, n: int) -> float:
    """MB of anonymous memory that a stage of ``n`` images takes at most, beyond what it found."""
    with TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for root in (few, many):
            root.mkdir()
        STAGES[stage](few, FEW)()
        work = STAGES[stage](many, n)
        with anonymous_peak() as found:
            work()
    return found[0]


def measure(stages: list[str], numbers: list[int]) -> list[dict[str, Any]]:
    """Lines of the record; each figure is of a process of its own."""
    lines = []
    for stage in stages:
        for n in numbers:
            with processes(1) as executor:
                found = executor.submit(peak, stage, n).result()
            what = (STAGES[stage].__doc__ or stage).rstrip(".")
            lines.append(line(f"{what}: {n:,} images", found, "MB", COMMAND))
            print(lines[-1], flush=True)  # noqa: T201
    return lines


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("-n", nargs="+", type=int, default=list(NUMBERS), help="images")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}, if not given")
    given = parser.parse_args()
    record(measure(given.stages, given.n), given.output)


if __name__ == "__main__":
    main()

"""``python -m hvrt_diffuser.experiments.scale.memory``: what stages add to a process's memory."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from hvrt_diffuser.autoencoders import TrainingOptions, encode_images
from hvrt_diffuser.catalog import LatentsDataset, SyntheticImagesDataset
from hvrt_diffuser.catalog.latents import latents_to_table, table_to_latents
from hvrt_diffuser.catalog.synthetic import ImageStream
from hvrt_diffuser.classifiers import JudgeOptions, train_judge
from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.machine import anonymous, anonymous_peak
from hvrt_diffuser.common.processes import processes
from hvrt_diffuser.common.scratch import scratch
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.encoding import encode_png
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.experiments.scale.noise import (
    AT_ONCE,
    CLASSES,
    LATENT_DIM,
    SHAPE,
    autoencoder,
    batches,
    write_model,
)
from hvrt_diffuser.experiments.scale.record import OUTPUT, line, record
from hvrt_diffuser.judge.examine import examine, untrained_extractors
from hvrt_diffuser.judge.inspection import look
from hvrt_diffuser.samplers import HVRTEstimator
from hvrt_diffuser.sharding import ShardedDraw, draw_shard

__all__ = ["STAGES", "Measured", "measure", "measured"]

COMMAND = "python -m hvrt_diffuser.experiments.scale.memory"
NUMBERS = (100_000, 300_000, 1_000_000)  # images, of 12 kB
PEAK, TIME, AT_WORK = "peak_mb", "time", "time at work"
FEW = 2048  # of a first call, which loads and keeps what any number needs
STEPS = 40  # of trainings
JUDGED = 1000  # images that are judged, and test images
CPU = torch.device("cpu")

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


def _saved(root: Path, n: int, name: str = "images") -> LabelledImages:
    """Images in a mapped file, as a run has them."""
    images, labels = scratch((n, *SHAPE)), torch.empty(n, dtype=torch.long)
    for start, (some, own) in zip(range(0, n, AT_ONCE), batches(n), strict=True):
        images[start : start + len(some)], labels[start : start + len(own)] = some, own
    path = root / f"{name}.safetensors"
    LabelledImages(images, labels, CLASSES, "noise").save(path)
    del images
    return LabelledImages.load(path)


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


def _training(root: Path, n: int) -> Work:
    """Training the autoencoder and the judge, 40 steps each."""
    images = _saved(root, n)

    def work() -> None:
        options = TrainingOptions(latent_dim=LATENT_DIM, depth=4, steps=STEPS)
        options.fit(images.images, seed=0, device=CPU)
        judge = JudgeOptions(steps=STEPS, evaluate_every=STEPS, validation_fraction=0.05)
        train_judge(images.images, images.labels, len(CLASSES), judge, seed=0, device=CPU)

    return work


def _encoding(root: Path, n: int) -> Work:
    """Encoding, and writing the table of latents."""
    images, network = _saved(root, n), autoencoder()
    dataset = LatentsDataset(filepath=str(root / "latents.parquet"))

    def work() -> None:
        latents, _ = encode_images(network, images.images, CPU)
        dataset.save(latents_to_table(latents, images.labels))

    return work


def _fitting(root: Path, n: int) -> Work:
    """Reading the table of latents, and fitting and writing HVRT."""
    source = generator(0, "scale", "latents")
    latents, labels = torch.randn(n, LATENT_DIM, generator=source), torch.arange(n) % len(CLASSES)
    dataset = LatentsDataset(filepath=str(root / "latents.parquet"))
    dataset.save(latents_to_table(latents, labels))

    def work() -> None:
        fitted = HVRTEstimator().fit(*table_to_latents(dataset.load()), seed=0)
        fitted.save(root / "latent_sampler.safetensors")

    return work


def _judging(root: Path, n: int) -> Work:
    """Judging 1,000 images by so many training images: likeness, copies and membership."""
    train, test = _saved(root, n), _saved(root, min(n, JUDGED), "test")

    def work() -> None:
        examine(
            test,
            train,
            test,
            untrained_extractors(train.images, CPU),
            judge=None,
            expected=torch.arange(len(CLASSES)),
            seed=0,
            device=CPU,
        )

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
    "training": _training,
    "encoding": _encoding,
    "fitting": _fitting,
    "drawing": _drawing,
    "synthetic": _synthetic,
    "judging": _judging,
}


class Measured(NamedTuple):
    """What a stage took.

    Attributes:
        added: MB of anonymous memory at most, beyond what there was before.
        peak: MB of it at most, with all that the process had loaded.
        seconds: of the stage, without what made its images.
        processor: seconds of it that a core was at work; the rest waited for disks, or for others.
    """

    added: float
    peak: float
    seconds: float
    processor: float


def measured(stage: str, n: int) -> Measured:
    """Run a stage on ``n`` images, after a few that load and keep what any number needs."""
    with TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for root in (few, many):
            root.mkdir()
        STAGES[stage](few, FEW)()
        work, before = STAGES[stage](many, n), anonymous()
        start, at_work = time.perf_counter(), time.process_time()
        with anonymous_peak() as found:
            work()
        return Measured(
            found[0],
            before + found[0],
            time.perf_counter() - start,
            time.process_time() - at_work,
        )


def measure(stages: list[str], numbers: list[int], output: Path) -> None:
    """Put lines into a record, stage by stage; each figure is of a process of its own."""
    for stage in stages:
        what = (STAGES[stage].__doc__ or stage).rstrip(".")
        for n in numbers:
            with processes(1) as executor:
                found = executor.submit(measured, stage, n).result()
            lines = [
                line(f"{what}: {n:,} images, {PEAK}", found.peak, "MB", COMMAND),
                line(f"{what}: {n:,} images, beyond before", found.added, "MB", COMMAND),
                line(f"{what}: {n:,} images, {TIME}", found.seconds, "s", COMMAND),
                line(f"{what}: {n:,} images, {AT_WORK}", found.processor, "s", COMMAND),
            ]
            record(lines, output)
            sys.stdout.write("".join(f"{json.dumps(each)}\n" for each in lines))
            sys.stdout.flush()
        record(_growth(what, json.loads(output.read_text())), output)


def _growth(what: str, recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the least number of images on record to the largest, whenever they were measured."""
    name = re.compile(rf"{re.escape(what)}: ([\d,]+) images, ({PEAK}|{TIME}|{AT_WORK})")
    found: dict[str, dict[int, float]] = {PEAK: {}, TIME: {}, AT_WORK: {}}
    for each in recorded:
        if match := name.fullmatch(each["name"]):
            found[match[2]][int(match[1].replace(",", ""))] = each["value"]
    peaks = found.pop(PEAK)
    few, many = min(peaks), max(peaks)
    if few == many:
        return []
    lines = [
        line(
            f"{what}: peak_mb of most images over that of fewest",
            peaks[many] / peaks[few],
            "ratio",
            COMMAND,
        )
    ]
    for kind, times in found.items():
        if few in times and many in times:
            exponent = math.log(times[many] / times[few]) / math.log(many / few)
            growth = f"{what}: growth of {kind} from fewest to most"
            lines.append(line(growth, exponent, "exponent", COMMAND))
    return lines


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("-n", nargs="+", type=int, default=list(NUMBERS), help="images")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}, if not given")
    given = parser.parse_args()
    terminal.install()
    measure(given.stages, sorted(given.n), given.output)


if __name__ == "__main__":
    main()

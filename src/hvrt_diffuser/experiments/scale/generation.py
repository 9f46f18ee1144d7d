"""``python -m hvrt_diffuser.experiments.scale.generation``: files of images by processes."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hvrt_diffuser.common.files import hash_file
from hvrt_diffuser.common.processes import processes
from hvrt_diffuser.experiments.scale.noise import write_model
from hvrt_diffuser.experiments.scale.record import OUTPUT, line, record
from hvrt_diffuser.sharding import SHARD, ShardedDraw, draw_shards

__all__ = ["measure"]

COMMAND = "python -m hvrt_diffuser.experiments.scale.generation"
WORKERS = (1, 2, 4)
N = 8 * SHARD  # images


def measure(n: int = N, numbers: Sequence[int] = WORKERS) -> list[dict[str, Any]]:
    """Draw the same images by each of these numbers of processes; lines of the record."""
    command = f"{COMMAND} -n {n} --workers {' '.join(map(str, numbers))}"
    found, lines = [], []
    with TemporaryDirectory() as folder:
        write_model(Path(folder))
        draw = ShardedDraw(folder, n)
        for workers in numbers:
            new = Path(folder, str(workers))
            with processes(workers) as executor:
                list(executor.map(time.sleep, [1] * workers))  # till all have started
                start = time.perf_counter()
                draw_shards(draw, new, new / "notes", executor)
                seconds = time.perf_counter() - start
            found.append([hash_file(new / draw.file(shard)) for shard in range(draw.n_shards)])
            shutil.rmtree(new)  # a million images are 12 GB
            what = f"{n:,} images of 64x64x3 in files, {workers} process{'es' * (workers > 1)}"
            lines.append(line(what, n / seconds, "images/s", command))
    equal = all(hashes == found[0] for hashes in found)
    what = (
        f"{n:,} images in files by {', '.join(map(str, numbers))} processes: equal, byte for byte"
    )
    lines.append(line(what, float(equal), "1 is yes", command))
    return lines


def main() -> None:
    """Measure, and record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("-n", type=int, default=N, help="images")
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS, help="processes")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"{OUTPUT}, if not given")
    given = parser.parse_args()
    record(measure(given.n, given.workers), given.output)


if __name__ == "__main__":
    main()

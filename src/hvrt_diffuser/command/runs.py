"""``hvrt-diffuser runs``: what lies below ``data/``, side by side, and away with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hvrt_diffuser.command.run_files import QUESTIONS, delete, find, find_all, table
from hvrt_diffuser.common.errors import InputError

__all__ = ["add_parser", "run"]

EXAMPLE = """\
example:
  hvrt-diffuser runs list
  hvrt-diffuser runs compare mnist photos --data project/data
  hvrt-diffuser runs delete photos
"""
LISTED = ("images", "sampler", "when", *QUESTIONS)


def add_parser(subparsers: Any) -> None:
    """Add the options of ``runs``."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "runs",
        description="The runs below a folder data/ of a project, or in a folder of make.",
        epilog=EXAMPLE,
        formatter_class=raw,
    )
    parsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, what: str, example: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = parsers.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  hvrt-diffuser runs {example}\n",
            formatter_class=raw,
        )
        found.add_argument(
            "--data",
            type=Path,
            default=Path("data"),
            metavar="FOLDER",
            help="where they lie (data)",
        )
        return found

    add("list", "list runs with their verdicts", "list --data made/")
    show = add("show", "show one run", "show mnist")
    show.add_argument("name", metavar="NAME")
    compare = add("compare", "show runs side by side", "compare mnist photos")
    compare.add_argument("names", metavar="NAME", nargs="+")
    away = add("delete", "delete all files of a run", "delete photos")
    away.add_argument("name", metavar="NAME")
    away.add_argument("--yes", action="store_true", help="without asking")


def run(given: argparse.Namespace) -> int:
    """Do what is asked for; the exit code.

    Raises:
        InputError: no runs, none of that name, or nobody who could be asked.
    """
    action = {"list": _list, "show": _show, "compare": _compare, "delete": _delete}
    return action[given.action](given)


def _list(given: argparse.Namespace) -> int:
    runs = find_all(given.data)
    if not runs:
        print(f"{given.data} holds no run.")  # noqa: T201
        return 0
    print("\n".join(table({run.name: run.summary() for run in runs}, LISTED)))  # noqa: T201
    return 0


def _show(given: argparse.Namespace) -> int:
    found = find(given.data, given.name)
    lines = [f"{name:12}{value}" for name, value in found.summary().items()]
    for own in ((found.report or {}).get("verdict") or {}).values():
        lines.append(f"{own['question']} {own['sentence']}")
    lines += [f"{'files':12}{len(found.files)}, {found.size / 1e6:.1f} MB"]
    lines += [f"{'':12}{folder}" for folder in found.folders]
    print("\n".join(lines))  # noqa: T201
    return 0


def _compare(given: argparse.Namespace) -> int:
    if len(set(given.names)) < 2:
        raise InputError(
            f"{given.names[0]} alone was given, expected two runs or more to compare: name another"
        )
    summaries = {name: find(given.data, name).summary() for name in given.names}
    measures = next(iter(summaries.values()))
    rows = {
        measure: {name: summary[measure] for name, summary in summaries.items()}
        for measure in measures
    }
    print("\n".join(table(rows, list(summaries))))  # noqa: T201
    print("E, FD: less is better. TSTR %, gain: more. In brackets: 95% intervals.")  # noqa: T201
    return 0


def _delete(given: argparse.Namespace) -> int:
    found = find(given.data, given.name)
    what = f"{len(found.files)} files of the run {found.name} ({found.size / 1e6:.1f} MB)"
    if not given.yes:
        if not sys.stdin.isatty():
            raise InputError(
                f"{what} would be deleted and nobody can be asked, expected a terminal: give --yes"
            )
        folders = "".join(f"\n  {folder}" for folder in found.folders)
        if input(f"Delete {what}?{folders}\nyes or no: ").strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")  # noqa: T201
            return 0
    delete(found)
    print(f"Deleted: {what}.")  # noqa: T201
    return 0

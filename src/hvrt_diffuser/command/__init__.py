"""``hvrt-diffuser``: images, models, runs and verdicts from the command line, in any folder."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from importlib import import_module

import hvrt_diffuser
from hvrt_diffuser.command.parser import Parser, suggestion
from hvrt_diffuser.common.names import readable

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "make": ("hvrt_diffuser.command.make", "synthetic images from yours: train, draw and judge"),
    "draw": ("hvrt_diffuser.command.draw", "more images from a model that was made"),
    "judge": (
        "hvrt_diffuser.command.judge",
        "whether to trust synthetic images, whoever made them",
    ),
    "runs": ("hvrt_diffuser.command.runs", "list, show, compare and delete runs"),
    "serve": ("hvrt_diffuser.serve.command", "a model over HTTP, with a page"),
    "samplers": ("hvrt_diffuser.command.samplers", "what can draw, and its options"),
}
"""By name: a module with ``add_parser(subparsers)`` and ``run(args) -> int``, and what it does."""

EXAMPLE = """\
example:
  hvrt-diffuser make photos/ --out made/
  hvrt-diffuser draw made/model -n 1000 --out more/

hvrt-diffuser COMMAND --help shows the options of each, and an example.
"""


def main(arguments: Sequence[str]) -> int:
    """Do what is asked for; the exit code.

    Args:
        arguments: what follows ``hvrt-diffuser``.

    Raises:
        InputError: something that was given cannot be used.
        SystemExit: by ``--help``, or where the command is wrong as it stands.
    """
    parser = Parser(
        prog="hvrt-diffuser",
        description="Labelled synthetic images, and a verdict on whether to trust them.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"hvrt-diffuser {hvrt_diffuser.__version__}"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((each for each in arguments if not each.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        parser.error(f"there is no command {chosen!r}: {suggestion(chosen, COMMANDS)}")
    for name, (module, what) in COMMANDS.items():
        if name == chosen:  # the others may be slow to import
            import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=what)
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    given.typed = readable(shlex.join(["hvrt-diffuser", *arguments]))
    code: int = import_module(COMMANDS[given.command][0]).run(given)
    return code

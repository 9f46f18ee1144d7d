"""``hvrt-diffuser samplers``: what can draw, and the options of each."""

from __future__ import annotations

import argparse
import json
import textwrap
from importlib.metadata import entry_points
from typing import Any

from hvrt_diffuser.command.parser import suggestion
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.known import known

__all__ = ["add_parser", "run"]

EXAMPLE = """\
example:
  hvrt-diffuser samplers
  hvrt-diffuser samplers flow_map
  hvrt-diffuser make photos/ --out made/ --sampler flow_map --set samplers.flow_map.strength=0.6
"""
GROUP = "hvrt_diffuser.samplers"  # entry points of installed packages
KINDS = {
    "latents": "Samplers of latents, which an autoencoder decodes:",
    "images": "Whole models, which draw images themselves:",
}
WIDTH = 100


def add_parser(subparsers: Any) -> None:
    """Add the options of ``samplers``."""
    parser = subparsers.add_parser(
        "samplers",
        description="List what can draw; with a name, its options and their defaults.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="of a sampler or a whole model")


def run(given: argparse.Namespace) -> int:
    """Print the list, or the options of one; the exit code.

    Raises:
        InputError: there is none of that name.
    """
    own = known()["samplers"]
    installed = {point.name: point.value for point in entry_points(group=GROUP)}
    installed = {name: value for name, value in installed.items() if name not in own}
    if given.name is None:
        print("\n".join(_listed(own, installed)))  # noqa: T201
    elif given.name in own:
        print("\n".join(_options(given.name, own[given.name])))  # noqa: T201
    elif given.name in installed:
        print(  # noqa: T201
            f"{given.name}: {installed[given.name]}, of an installed package; "
            "python -m hvrt_diffuser.registry lists its options"
        )
    else:
        names = [*own, *installed]
        raise InputError(
            f"there is no sampler called {given.name!r}: {suggestion(given.name, names)}"
        )
    return 0


def _listed(own: dict[str, Any], installed: dict[str, str]) -> list[str]:
    lines = []
    for kind, title in KINDS.items():
        lines.append(title)
        for name, entry in own.items():
            if entry["kind"] == kind:
                first, *rest = textwrap.wrap(entry["what"], WIDTH - 30)
                lines += [f"  {name:28}{first}", *(f"{'':30}{line}" for line in rest)]
        lines.append("")
    if installed:
        lines.append("Of installed packages:")
        lines += [f"  {name:28}{value}" for name, value in installed.items()]
        lines.append("")
    return [*lines, "hvrt-diffuser samplers NAME lists the options of one."]


def _options(name: str, entry: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {entry['what']}", ""]
    for option, own in entry["options"].items():
        default = own.get("default", "required")
        shown = default if isinstance(default, str) else json.dumps(default)
        lines.append(f"  samplers.{name}.{option} = {shown}  ({own['type']})")
        lines += textwrap.wrap(
            own["what"], WIDTH - 6, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return lines if entry["options"] else [*lines, "It has no options."]

"""``python -m hvrt_diffuser.registry``: what can be chosen by a name, and the options of each."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hvrt_diffuser.autoencoders import AUTOENCODERS
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS, Registry
from hvrt_diffuser.data.sources import SOURCES
from hvrt_diffuser.metrics import METRICS, named_metrics
from hvrt_diffuser.pipelines.experiments.parameters import ExperimentOptions
from hvrt_diffuser.pipelines.parameters import Parameters

__all__ = ["SECTIONS", "as_markdown", "as_text"]

BLOCKS: dict[str, BaseModel] = {
    name: field.default
    for name, field in Parameters.model_fields.items()
    if isinstance(field.default, BaseModel) and field.annotation is not ExperimentOptions
} | {"<experiment>": ExperimentOptions()}
SECTIONS: dict[str, tuple[str, Registry[Any] | Mapping[str, BaseModel]]] = {
    "Parameters": ("the blocks of a run's parameters", BLOCKS),
    "Samplers": ("what draws images, by latents or whole: the blocks `samplers.<name>`", SAMPLERS),
    "Autoencoders": ("what encodes and decodes: `ae_training.autoencoder`", AUTOENCODERS),
    "Image sources": ("where real images come from: `dataset.source`", SOURCES),
    "Metrics": ("what is measured of features: `evaluation.metrics`", METRICS),
}
"""By title: what the entries are, and a registry of them or options by name."""

HEAD = """\
# Parameters, and what can be chosen by a name

Every option has its default in its class, and a file in `conf/` or `--params` only overrides it. \
`run_name`, `seed` (0) and `device` (`auto`) stand above all blocks. Beside the names below, each \
registry takes one of an installed package's entry point, or the path of a class of yours, \
`package.module:Class` ([extend.md](extend.md)). `python -m hvrt_diffuser.registry` lists what is \
installed here; `python -m hvrt_diffuser.registry --markdown > docs/parameters.md` wrote this page.
"""
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "a multiple of"}
Row = tuple[str, ...]


def as_text(sections: Mapping[str, Any] = SECTIONS) -> str:
    """All names that are there, those of installed packages too, with their options."""
    lines = []
    for title, (what, entries) in sections.items():
        lines.append(f"{title}: {what}")
        for name, entry in _entries(entries, installed=True):
            lines.append(f"  {name:28}{_what(entry)}")
            for option, kind, default, meaning in _options(entry):
                lines.append(f"      {option:24}{default:12}  {meaning} ({kind})")
        lines.append("")
    return "\n".join(lines)


def as_markdown(sections: Mapping[str, Any] = SECTIONS) -> str:
    """The page ``docs/parameters.md``: the names that are the project's own."""
    parts = [HEAD]
    for title, (what, entries) in sections.items():
        own = list(_entries(entries, installed=False))
        parts += [f"## {title}", f"{what[0].upper()}{what[1:]}."]
        parts.append(_table([("name", ""), *((f"`{name}`", _what(entry)) for name, entry in own)]))
        for name, entry in own:
            options = [(f"`{option}`", *more) for option, *more in _options(entry)]
            if options:
                head = ("option", "type", "default", "")
                parts += [f"### {name}", _table([head, *options])]
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _entries(
    entries: Registry[Any] | Mapping[str, Any], *, installed: bool
) -> Iterator[tuple[str, Any]]:
    """Names and entries; an installed one that cannot be imported is the reason why."""
    if isinstance(entries, Mapping):
        yield from entries.items()
        return
    found: list[tuple[str, Any]] = []
    for name in entries.names() if installed else entries.own_names():
        try:
            entry = named_metrics([name])[name] if entries is METRICS else entries.find(name)
        except InputError as error:
            entry = error
        found.append((name, entry))
    # Which of two rooms was imported first must not matter: samplers of latents stand first.
    yield from sorted(found, key=lambda item: getattr(item[1], "kind", ""), reverse=True)


def _what(entry: Any) -> str:
    """What an entry is, in a line."""
    if isinstance(entry, InputError):
        return str(entry)
    if isinstance(entry, type | BaseModel):
        first = (entry.__doc__ or "").strip().split("\n\n")[0]
        return getattr(entry, "what", "") or " ".join(first.split()).rstrip(".")
    low, high = entry.range
    good = f"{entry.direction} is good, " if entry.direction else ""
    return f"{entry.what} ({good}from {low:g} to {high:g})"


def _options(entry: Any, above: str = "", values: Any = None) -> Iterator[Row]:
    """Name, type, default and meaning of each option; those of a nested model by dotted names."""
    values = entry if isinstance(entry, BaseModel) else values
    model = type(entry) if isinstance(entry, BaseModel) else entry
    for name, field in getattr(model, "model_fields", {}).items():
        default = field.get_default(call_default_factory=True)
        if values is not None:
            default = getattr(values, name)
        kinds = (field.annotation, *get_args(field.annotation))
        nested = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if nested is not field.annotation or nested is None:
            shown = "required" if field.is_required() and values is None else _value(default)
            yield f"{above}{name}", _kind(field), shown, field.description or ""
        if nested:
            inner = default if isinstance(default, BaseModel) else None
            yield from _options(nested, f"{above}{name}.", inner)


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(part, key):g}"
        for part in field.metadata
        for key, sign in BOUNDS.items()
        if hasattr(part, key)
    ]
    return ", ".join([_named(field.annotation), *bounds])


def _named(annotation: Any) -> str:
    """A type as people write it."""
    if get_origin(annotation) is Annotated:
        return _named(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return f"several of: {_named(get_args(annotation)[0])}"
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and len(parts) < len(get_args(annotation)):  # one that may be None
        return f"{' or '.join(map(_named, parts))} or null"
    text = getattr(annotation, "__name__", "") if not parts else str(annotation)
    return re.sub(r"[\w.]+\.(\w+)", r"\1", text or str(annotation))


def _value(value: Any) -> str:
    """A default as YAML would have it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _table(rows: list[Row]) -> str:
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def main() -> None:
    """List everything on the terminal."""
    parser = argparse.ArgumentParser(
        prog="python -m hvrt_diffuser.registry", description="List what can be chosen by a name."
    )
    parser.add_argument("--markdown", action="store_true", help="as docs/parameters.md")
    sys.stdout.write(as_markdown() if parser.parse_args().markdown else as_text())


if __name__ == "__main__":
    main()

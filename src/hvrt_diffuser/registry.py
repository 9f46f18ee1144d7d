"""``python -m hvrt_diffuser.registry``: what can be chosen by a name, and the options of each."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from hvrt_diffuser.autoencoders import AUTOENCODERS
from hvrt_diffuser.common.bounds import numbers_in
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS, Registry
from hvrt_diffuser.data.sources import SOURCES
from hvrt_diffuser.metrics import METRICS, named_metrics
from hvrt_diffuser.pipelines.experiments.parameters import ExperimentOptions
from hvrt_diffuser.pipelines.parameters import RENAMED, Parameters

__all__ = ["SECTIONS", "as_json", "as_markdown", "as_text"]

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

REGISTRIES = ("samplers", "autoencoders", "sources", "metrics")

HEAD = """\
# Parameters, and what can be chosen by a name

Every option has its default in its class, and a file in `conf/` or `--params` only overrides it. \
A number has the bounds beside its type; a text, `true` or `1.0` is no whole number. \
`run_name`, `seed` (0) and `device` (`auto`) stand above all blocks. Beside the names below, each \
registry takes one of an installed package's entry point, or the path of a class of yours, \
`package.module:Class` ([extend.md](extend.md)). `python -m hvrt_diffuser.registry` lists what is \
installed here; `python -m hvrt_diffuser.registry --markdown > docs/parameters.md` wrote this page.
"""
BOUNDLESS = 2**62  # is as much as no bound to a reader
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
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


def as_json() -> str:
    """The project's own names with their options, which other modules read without importing them.

    An option says whether it is a text or a list of texts, which YAML would take for something
    else where it looks like a number or a date.
    """
    kinds: tuple[Registry[Any], ...] = (SAMPLERS, AUTOENCODERS, SOURCES, METRICS)
    found: dict[str, Any] = {
        name: {key: _described(entry) for key, entry in _entries(entries, installed=False)}
        for name, entries in zip(REGISTRIES, kinds, strict=True)
    }
    parameters: dict[str, Any] = {}
    for name, field in Parameters.model_fields.items():
        if field.annotation is ExperimentOptions:
            parameters[name] = {"like": "experiment"}
        elif isinstance(field.default, BaseModel):
            parameters[name] = _described(field.default)
        else:
            parameters[name] = _option(field, field.get_default(call_default_factory=True))
    experiment = _described(ExperimentOptions())
    whole = {"parameters": parameters, "experiment": experiment, "renamed": RENAMED, **found}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _described(entry: Any) -> dict[str, Any]:
    options = {name: _option(field, default) for name, field, default in _fields(entry)}
    kind = {"kind": entry.kind} if hasattr(entry, "kind") else {}
    return {"what": _what(entry), **kind, "options": options}


def _option(field: FieldInfo, default: Any) -> dict[str, Any]:
    text = _text(field.annotation)
    shown = {} if default is PydanticUndefined else {"default": to_jsonable_python(default)}
    return {
        "type": _kind(field),
        **shown,
        "what": field.description or "",
        **({"text": text} if text else {}),
    }


def _text(annotation: Any) -> str:
    """``one`` for a text, ``several`` for a list of texts, and else nothing."""
    if get_origin(annotation) is Annotated:
        return _text(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return "several" if _text(get_args(annotation)[0]) == "one" else ""
    if get_origin(annotation) is Literal:
        return "one" if all(isinstance(each, str) for each in get_args(annotation)) else ""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and get_origin(annotation) in (Union, UnionType):
        kinds = {_text(part) for part in parts}
        return kinds.pop() if len(kinds) == 1 else ""
    return "one" if annotation in (str, Path) else ""


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


def _options(entry: Any) -> Iterator[Row]:
    """Name, type, default and meaning of each option; those of a nested model by dotted names."""
    for name, field, default in _fields(entry):
        shown = "required" if default is PydanticUndefined else _value(default)
        yield name, _kind(field), shown, field.description or ""


def _fields(
    entry: Any, above: str = "", values: Any = None
) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Name, field and default of each option; those of a nested model by dotted names."""
    values = entry if isinstance(entry, BaseModel) else values
    model = type(entry) if isinstance(entry, BaseModel) else entry
    for name, field in getattr(model, "model_fields", {}).items():
        default = field.get_default(call_default_factory=True)
        if values is not None:
            default = getattr(values, name)
        kinds = (field.annotation, *get_args(field.annotation))
        nested = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if nested is not field.annotation or nested is None:
            yield f"{above}{name}", field, default
        if nested:
            inner = default if isinstance(default, BaseModel) else None
            yield from _fields(nested, f"{above}{name}.", inner)


def _kind(field: FieldInfo) -> str:
    numbers = list(numbers_in(field.annotation, tuple(field.metadata)))
    bounds = [
        f"{BOUNDS[key]} {bound:,}" if isinstance(bound, int) else f"{BOUNDS[key]} {bound:g}"
        for _, own in numbers[-1:]
        for key, bound in own.items()
        if abs(bound) < BOUNDLESS
    ]
    bounds += [
        f"a multiple of {part.multiple_of}"
        for part in field.metadata
        if hasattr(part, "multiple_of")
    ]
    return ", ".join([_named(field.annotation), *bounds])


def _named(annotation: Any) -> str:
    """A type as people write it."""
    if get_origin(annotation) is Annotated:
        return _named(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return f"several of: {_named(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"{_named(get_args(annotation)[1])} by name"
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and get_origin(annotation) in (Union, UnionType):
        null = ["null"] if len(parts) < len(get_args(annotation)) else []
        return " or ".join([*map(_named, parts), *null])
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
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="as docs/parameters.md")
    forms.add_argument("--json", action="store_true", help="as pipelines/known.json")
    given = parser.parse_args()
    sys.stdout.write(as_json() if given.json else as_markdown() if given.markdown else as_text())


if __name__ == "__main__":
    main()

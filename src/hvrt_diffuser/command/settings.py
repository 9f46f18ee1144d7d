"""``--set PARAM=VALUE``: parameters of a run, each value read as its parameter has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.known import find_option

__all__ = ["HELP", "put", "settings"]

FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


HELP = "a parameter of the run, such as ae_training.epochs=40; may be given several times"


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as YAML 1.2 and the files in conf/ have it."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def settings(texts: Iterable[str]) -> dict[str, Any]:
    """Parameters by their full names.

    A text stays one, whatever YAML would make of it: ``run_name=2024``, ``no``, ``a #1``. Other
    values are YAML, such as ``tstr.n=[1000,2000]``.

    Raises:
        InputError: no ``=``, no value, or a value that is no YAML.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(
                f"--set was given {text!r}, expected PARAM=VALUE, such as ae_training.epochs=40: "
                "correct it"
            )
        found[name.strip()] = _value(name.strip(), value)
    return found


def put(parameters: dict[str, Any], name: str, value: Any) -> None:
    """Set a parameter in nested blocks by its full name.

    Raises:
        InputError: a part of the name was given a value already.
    """
    first, _, rest = name.partition(".")
    if not rest:
        parameters[first] = value
        return
    block = parameters.setdefault(first, {})
    if not isinstance(block, dict):
        raise InputError(
            f"{first} was given the value {block!r} and {name} one of its own, expected one or "
            "the other: leave one out"
        )
    put(block, rest, value)


def _value(name: str, value: str) -> Any:
    option = find_option(name) or {}
    kind = option.get("text")
    if value == "null" and "null" in option.get("type", ""):
        return None
    if kind == "one":
        return value
    if kind == "several" and not value.startswith("["):
        return [value]
    try:
        return yaml.load(value, yaml.BaseLoader if kind == "several" else Loader)
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {name} was given {value!r}, which is no value in YAML, expected one such as "
            "3, true or [1, 2]: correct it"
        ) from error

"""What can be set, known in milliseconds: without importing what it is an option of.

``known.json`` lists it, which ``python -m hvrt_diffuser.registry --json`` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import no_option, unknown_parameter

__all__ = ["check_names", "chosen_name", "find_option", "known", "options_of", "without_replaced"]

FILE = Path(__file__).with_name("known.json")
# Blocks whose further options are those of an entry that the block names.
CHOOSERS = {
    "dataset": ("source", "sources", "image source"),
    "ae_training": ("autoencoder", "autoencoders", "autoencoder"),
}


@cache
def known() -> dict[str, Any]:
    """All names with their options: ``parameters`` by block, and each registry by name."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def options_of(block: str) -> dict[str, Any]:
    """The options of a block of parameters by dotted names; none where it is no block."""
    entry = known()["parameters"][block]
    block_like_it = known()[entry["like"]] if "like" in entry else entry
    options: dict[str, Any] = block_like_it.get("options", {})
    return options


def chosen_name(block: str, value: Mapping[str, Any]) -> Any:
    """The entry that a block of parameters chooses: ``pretrained`` chooses by itself."""
    chooser = CHOOSERS[block][0]
    if block == "ae_training" and chooser not in value and "pretrained" in value:
        return "pretrained"
    return value.get(chooser, options_of(block)[chooser]["default"])


def without_replaced(
    raw: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Parameters without what conf/ says of an autoencoder that the command line replaces.

    Args:
        raw: all parameters, nested.
        given: those of them that the command line set.

    Returns:
        The parameters that are left, and the names of the options that are gone.
    """
    block, mine = raw.get("ae_training"), given.get("ae_training")
    if not isinstance(block, Mapping) or not isinstance(mine, Mapping):
        return dict(raw), []
    if not {"autoencoder", "pretrained"} & mine.keys():
        return dict(raw), []
    chosen = chosen_name("ae_training", mine)
    if chosen not in known()["autoencoders"]:
        return dict(raw), []  # only its class can tell
    kept = {*mine, *options_of("ae_training"), *known()["autoencoders"][chosen]["options"]}
    left = {name: value for name, value in block.items() if name in kept}
    gone = [name for name in block if name not in kept]
    return {**raw, "ae_training": {**left, "autoencoder": chosen}}, gone


def find_option(name: str) -> dict[str, Any] | None:
    """What is known of the option that a parameter's full name stands for, if anything is."""
    first, _, rest = name.partition(".")
    parameters = known()["parameters"]
    if first == "samplers":
        sampler, _, rest = rest.partition(".")
        places = [known()["samplers"].get(sampler, {}).get("options", {})]
    elif first not in parameters:
        return None
    elif not rest:
        places = [parameters]
        rest = first
    else:
        places = [options_of(first)]
        if first in CHOOSERS:
            places += [entry["options"] for entry in known()[CHOOSERS[first][1]].values()]
    return next((place[rest] for place in places if rest in place), None)


def check_names(raw: Mapping[str, Any]) -> None:
    """Refuse a parameter that is nobody's, before anything is imported that would need it.

    What only the classes themselves can tell passes: values, and the options of entries that are
    no part of this package.

    Raises:
        InputError: there is one.
    """
    parameters = known()["parameters"]
    for block, value in raw.items():
        if block in known()["renamed"]:
            continue  # the complete check says what it is called now
        if block not in parameters:
            raise InputError(unknown_parameter(block, parameters))
        if block == "samplers" and isinstance(value, Mapping):
            for name, options in value.items():
                _check_entry("samplers", "sampler", name, options, f"samplers.{name}")
        elif block in CHOOSERS and isinstance(value, Mapping):
            _check_chosen(block, value)
        else:
            _check_block(block, options_of(block), value)


def _check_block(where: str, options: Mapping[str, Any], value: Any, above: str = "") -> None:
    """Check the names within a value, down to those that are no blocks of options."""
    inner = [name.removeprefix(above) for name in options if name.startswith(above)]
    if not isinstance(value, Mapping) or not inner:
        return
    names = dict.fromkeys(name.partition(".")[0] for name in inner)
    for name, own in value.items():
        if name not in names:
            raise InputError(unknown_parameter(f"{where}.{name}", names))
        _check_block(f"{where}.{name}", options, own, f"{above}{name}.")


def _check_chosen(block: str, value: Mapping[str, Any]) -> None:
    _, registry, kind = CHOOSERS[block]
    own = options_of(block)
    chosen = chosen_name(block, value)
    others = {name: options for name, options in value.items() if name not in own}
    if chosen not in known()[registry]:
        return
    for name in others.keys() - known()[registry][chosen]["options"].keys():
        sentence = unknown_parameter(f"{block}.{name}", own)
        if "did you mean" in sentence:
            raise InputError(sentence)
    _check_entry(registry, kind, chosen, others, block)


def _check_entry(registry: str, kind: str, name: str, options: Any, where: str) -> None:
    """Check the options of one of the package's own entries; nested ones are left to itself."""
    entries = known()[registry]
    if name not in entries or not isinstance(options, Mapping):
        return
    mine = list(dict.fromkeys(option.partition(".")[0] for option in entries[name]["options"]))
    for option in options:
        if option not in mine:
            others = [n for n, e in entries.items() if option in e["options"]]
            raise InputError(no_option(kind, name, f"{where}.{option}", mine, others))

"""What to say of a name that nobody knows."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

__all__ = ["no_option", "unknown_parameter"]


def unknown_parameter(where: str, known: Collection[str]) -> str:
    """The sentence on a parameter that a block does not have.

    Args:
        where: its full name, such as ``ae_training.epoch``.
        known: those of its block, by their last names.
    """
    close = get_close_matches(where.rpartition(".")[2], sorted(known), 1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(known))}"
    return f"the parameter {where} is unknown: {hint}"


def no_option(
    kind: str, name: str, where: str, known: Collection[str], others: Collection[str]
) -> str:
    """The sentence on an option that an entry of a registry does not have.

    Args:
        kind: of the entry, such as ``sampler``.
        name: of the entry.
        where: full name of the option, such as ``samplers.hvrt.components``.
        known: the entry's options.
        others: names of entries that have it.
    """
    option = where.rpartition(".")[2]
    close = get_close_matches(option, known, 1)
    hint = f"expected one of {', '.join(known)}" if known else "it has none"
    if close:
        hint = f"did you mean {close[0]}?"
    elif others:
        hint += f"; {option} is an option of {', '.join(sorted(others))}"
    return f"the {kind} {name} has no option {where}: {hint}"

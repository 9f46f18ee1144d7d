"""Classes by their names, and how many images of each are asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from hvrt_diffuser.common.errors import InputError

__all__ = ["class_index", "requested_counts"]

LISTED = 12  # class names in a sentence


def class_index(class_names: Sequence[str], wanted: str | int) -> int:
    """The place of a class among the names.

    A name goes before a number: of classes called 1 to 12, ``1`` is the one of that name, and not
    the second.

    Args:
        class_names: of all classes.
        wanted: a name, or a place counted from 0.

    Raises:
        InputError: there is no such class.
    """
    if str(wanted) in class_names:
        return class_names.index(str(wanted))
    place = str(wanted)
    if place.isdecimal() and int(place) < len(class_names):
        return int(place)
    close = difflib.get_close_matches(str(wanted), class_names, 1, cutoff=0.5)
    listed = ", ".join(class_names[:LISTED]) + (", ..." if len(class_names) > LISTED else "")
    advice = f"did you mean {close[0]}?" if close else "choose one of these"
    raise InputError(f"there is no class {wanted}, expected one of {listed}: {advice}")


def requested_counts(
    class_names: Sequence[str],
    real: Sequence[int],
    *,
    balance: bool = False,
    counts: int | Mapping[Any, int] | None = None,
) -> list[int]:
    """How many images of each class to add to the real ones.

    Args:
        class_names: k of them.
        real: images of each class that there are, k numbers.
        balance: as many as each class lacks to be as large as the largest.
        counts: as many of each class, or by name (or place) of some.

    Returns:
        k numbers, all 0 where nothing is asked for.

    Raises:
        InputError: an unknown class, or both are given.
    """
    if balance and counts is not None:
        raise InputError(
            "balance is true and counts are given, expected one of them: leave the other out"
        )
    if balance:
        return [max(real) - n for n in real]
    if isinstance(counts, Mapping):
        found = [0] * len(class_names)
        for name, n in counts.items():
            found[class_index(class_names, name)] = n
        return found
    return [counts or 0] * len(class_names)

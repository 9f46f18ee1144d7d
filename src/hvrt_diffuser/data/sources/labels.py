"""Labels as they come (numbers, names, true and false) into classes 0 to k - 1."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.notes import Note, listed

__all__ = ["Numbered", "class_order", "number_labels", "same_letters"]

LISTED = 20  # as many labels as a sentence bears


@dataclass(frozen=True)
class Numbered:
    """Labels as numbers.

    Attributes:
        class_names: k names.
        train, test: int64 (n,), 0 to k - 1; ``test`` is None where no test image has a label.
        notes: on what was done.
    """

    class_names: tuple[str, ...]
    train: Tensor
    test: Tensor | None
    notes: tuple[Note, ...]


def same_letters(name: str) -> str:
    """A name with its accents composed, as they are on most systems."""
    return unicodedata.normalize("NFC", name)


def class_order(names: Iterable[str]) -> list[str]:
    """Names in order: as numbers where all of them are whole numbers, else as text."""
    found = sorted(names)
    if all(name.isascii() and name.isdigit() for name in found):
        found.sort(key=int)
    return found


def number_labels(
    train: Sequence[Any],
    test: Sequence[Any] | None,
    names: tuple[str, ...] | None,
    where: str,
) -> Numbered:
    """Number the classes.

    Args:
        train: a label per training image: a number, a name, or true and false; None, NaN and -1
            are no label (-1 is one where all labels are -1 and 1).
        test: likewise; None without test images.
        names: of the classes that whole numbers from 0 stand for; None where nothing names them.
        where: the labels come from.

    Raises:
        InputError: labels of another kind, training images without one, test images of which some
            have none, numbers beyond ``names``, classes that stand in the test images alone, or a
            class for every image.
    """
    signs = names is None and {*_kept(train), *_kept(test or ())} == {-1, 1}
    found: list[Any] = [_clean(value, where, signs) for value in train]
    if None in found:
        raise InputError(_unlabelled("training", found, where))
    tested: list[Any] | None = (
        None if test is None else [_clean(value, where, signs) for value in test]
    )
    if tested is not None and None in tested:
        if set(tested) != {None}:
            raise InputError(_unlabelled("test", tested, where))
        tested = None
    if not found:
        raise InputError(f"{where} holds 0 training images, expected some: give other files")
    kinds = {type(value).__name__ for value in (*found, *(tested or ()))}
    if len(kinds) > 1:
        raise InputError(
            f"{where} holds labels that are numbers and labels that are names, expected one kind: "
            "write them alike"
        )
    if names is not None:
        names = tuple(map(same_letters, names))
        found = [_name(value, names, where) for value in found]
        tested = tested and [_name(value, names, where) for value in tested]
    present = set(found)
    if len(present) == len(found) > 1:
        raise InputError(
            f"{where} holds another label in each of its {len(found)} training images, expected "
            "several images of each class: give the column of the classes as label"
        )
    alone = sorted(map(str, set(tested or ()) - present))
    if alone:
        raise InputError(
            f"{where} has test images of the class {listed(alone, LISTED)}, of which there is no "
            f"training image, expected some of {listed(_in_order(present), LISTED)}: leave them "
            "out, or add training images"
        )
    order, notes = _order(present, names)
    place = {value: i for i, value in enumerate(order)}
    return Numbered(
        tuple(map(str, order)),
        torch.tensor([place[value] for value in found], dtype=torch.int64),
        None if tested is None else torch.tensor([place[v] for v in tested], dtype=torch.int64),
        notes,
    )


def _order(present: set[Any], names: tuple[str, ...] | None) -> tuple[list[Any], tuple[Note, ...]]:
    """The labels that are there as the classes' order, and a note where it is not theirs."""
    if names is not None:
        empty = [name for name in names if name not in present]
        notes = (Note.of("classes left out that have no image", empty),) * bool(empty)
        return [name for name in dict.fromkeys(names) if name in present], notes
    if isinstance(next(iter(present)), str):
        return class_order(present), ()
    order = sorted(present)
    as_counted = order == list(range(len(order)))
    note = Note(f"labels {_range(order)} numbered from 0: class 0 is {order[0]}")
    return order, () if as_counted else (note,)


def _unlabelled(split: str, values: list[Any], where: str) -> str:
    return (
        f"{values.count(None)} of {len(values)} {split} images of {where} have no label (null, "
        f"NaN, -1 or nothing; the first in row {values.index(None)}), expected one of each: fill "
        "them in, or remove the rows"
    )


def _kept(values: Iterable[Any]) -> set[Any]:
    return {value for value in values if isinstance(value, int)}


def _clean(value: Any, where: str, signs: bool) -> int | str | None:
    """A whole number or a name; None for no label."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():
            raise InputError(
                f"{where} holds the label {value}, expected whole numbers or names: give the "
                "column of the classes as label"
            )
        value = int(value)
    if isinstance(value, int):
        return None if value == -1 and not signs else value
    if isinstance(value, str):
        return same_letters(value) if value.strip() else None
    if value is None:
        return None
    raise InputError(
        f"{where} holds labels that are of the type {type(value).__name__}, such as "
        f"{str(value)[:40]}, expected one class per image, a number or a name: give a column of "
        "such labels"
    )


def _name(value: Any, names: tuple[str, ...], where: str) -> str:
    if value in names:
        return str(value)
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    raise InputError(
        f"{where} holds the label {value} and names {len(names)} classes "
        f"({listed(names, LISTED)}), expected 0 to {len(names) - 1}: correct the labels or the "
        "names"
    )


def _in_order(values: Iterable[Any]) -> list[str]:
    return class_order(map(str, values))


def _range(order: Sequence[Any]) -> str:
    if len(order) == order[-1] - order[0] + 1:
        return f"{order[0]} to {order[-1]}"
    return listed([str(value) for value in order])

"""Classes by name, and how many images of each are asked for."""

from __future__ import annotations

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.classes import class_index, requested_counts

NAMES = ("anchor", "bell", "cup")
NUMBERS = tuple(str(i) for i in range(1, 13))


@pytest.mark.parametrize(
    ("names", "wanted", "place"),
    [
        (NAMES, "bell", 1),
        (NAMES, 2, 2),
        (NAMES, "2", 2),
        (NUMBERS, 1, 0),
        (NUMBERS, "12", 11),
        (NUMBERS, 0, 0),  # no class is called 0
        (("0", "1"), 1, 1),
        (("2", "1", "0"), 2, 0),
    ],
)
def test_a_name_goes_before_a_place(names: tuple[str, ...], wanted: str | int, place: int) -> None:
    assert class_index(names, wanted) == place


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("bel", "did you mean bell"),
        (3, "one of anchor, bell, cup"),
        (-1, "no class -1"),
        ("", "choose one"),
    ],
)
def test_an_unknown_class_is_told_with_those_there_are(wanted: str | int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        class_index(NAMES, wanted)


def test_balance_fills_up_to_the_largest_class() -> None:
    assert requested_counts(NAMES, (120, 96, 24), balance=True) == [0, 24, 96]
    assert requested_counts(NAMES, (7, 7, 7), balance=True) == [0, 0, 0]


def test_counts_are_of_each_class_or_by_name() -> None:
    assert requested_counts(NAMES, (5, 5, 5), counts=60) == [60, 60, 60]
    assert requested_counts(NAMES, (5, 5, 5), counts={"cup": 60, 0: 3}) == [3, 0, 60]
    assert requested_counts(NAMES, (5, 5, 5)) == [0, 0, 0]
    with pytest.raises(InputError, match="no class rocket"):
        requested_counts(NAMES, (5, 5, 5), counts={"rocket": 60})
    with pytest.raises(InputError, match="leave the other out"):
        requested_counts(NAMES, (5, 5, 5), balance=True, counts=60)

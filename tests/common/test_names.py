"""Which names a folder can bear, and how any name is shown."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvrt_diffuser.common.names import as_folder_name, folder_name, plain, readable

GOOD = [
    "a",
    "2024",
    "_x",
    "a.b-c_ä",
    "漢字",
    "a..b",
    "icon",
    "com",
    "com10",
    "console.txt",
    "x" * 200,
]
BAD = [
    *("", ".", "..", "...", ".hidden", "-", "-x", "--params", "a.", "a/b", "/", "a\\b", "a b", " "),
    *("CON", "con", "nul.txt", "Com1", "lpt9.tar.gz", "com¹", "x" * 201, "ä" * 101, "a\n", "a\0b"),
    *("[", "]", "{a}", "[red]x[/red]", "<b>", "$", "${oc.env:HOME}", "a:b", "*", "?", "~", "%s"),
    *("\udcff", "\u202eabc", "a\u200b", "\x1b[31m", "'", '"', "a#b", "a|b"),
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_every_file_system_takes(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_some_would_refuse_or_take_for_another(name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a folder"):
        folder_name(name)


@given(st.one_of(st.sampled_from(BAD), st.text(max_size=300)))
def test_any_text_can_be_turned_into_one(text: str) -> None:
    name = as_folder_name(text, "images")
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("my photos", "my_photos"), ("CON", "_CON"), ("-x", "x"), ("...", "images"), ("Ü 1", "Ü_1")],
)
def test_it_keeps_what_it_can(text: str, name: str) -> None:
    assert as_folder_name(text, "images") == name


@given(st.binary(max_size=30))
def test_bytes_that_are_no_letters_can_be_read_and_written(name: bytes) -> None:
    text = os.fsdecode(name)
    shown = readable(text)
    shown.encode("utf-8")
    assert (shown == text) == (not any(unicodedata.category(each) == "Cs" for each in text))


def test_their_digits_are_shown() -> None:
    assert readable(os.fsdecode(b"caf\xe9.png")) == "caf%E9.png"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ünï 漢🎲 a_b 100 % <b> $x$ [red]", "Ünï 漢🎲 a_b 100 % <b> $x$ [red]"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u200bb\u2028", r"a\u200bb\u2028"),
        ("👩\u200d🔬 a\u200cb \ud7fc", "👩\u200d🔬 a\u200cb \ud7fc"),
        ("\udcff", "%FF"),
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_a_name_is_shown_on_one_line_and_as_it_is(text: str, shown: str) -> None:
    assert plain(text) == shown

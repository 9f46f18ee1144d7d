"""Names: which ones a folder can bear, how any is shown, what to say of one that nobody knows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches

__all__ = ["as_folder_name", "folder_name", "no_option", "plain", "readable", "unknown_parameter"]

LONGEST = 200  # bytes: file systems allow 255, and names of temporary files are longer
FOLDER_NAME = re.compile(r"\w([\w.-]*[\w-])?")
# Windows keeps these for devices, whatever follows a dot.
DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE)
SURROGATES = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8
UNSEEN = ("Cc", "Cf", "Zl", "Zp")  # categories: what controls, what formats, what ends lines
JOINERS = "\u200c\u200d"  # parts of words and of emoji


def folder_name(text: str) -> str:
    """The same text, if every file system takes it for the name of a folder.

    Raises:
        ValueError: it does not; says what was expected.
    """
    known = FOLDER_NAME.fullmatch(text) and not DEVICE.fullmatch(text)
    if not known or len(text.encode()) > LONGEST:
        raise ValueError(
            "expected the name of a folder, of letters, digits, '_', '-' and '.', with neither '-' "
            "nor '.' in front, no '.' at the end, not kept by Windows for a device, and of "
            f"{LONGEST} bytes at most"
        )
    return text


def as_folder_name(text: str, otherwise: str) -> str:
    """A text turned into the name of a folder; ``otherwise`` where nothing of it is left."""
    name = re.sub(r"[^\w.-]+", "_", text).encode()[:80].decode(errors="ignore").strip("._-")
    return f"_{name}" if DEVICE.fullmatch(name) else name or otherwise


def readable(text: str) -> str:
    """A text of a file system, with bytes that are no letters as ``%`` and two digits."""
    return SURROGATES.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)


def plain(text: str) -> str:
    """A text as people may see it anywhere: on one line, which nothing in it moves or turns."""
    text = readable(text)
    if text.isprintable():  # as nearly all are
        return text
    return "".join(each if _is_seen(each) else _escaped(each) for each in text)


def _is_seen(letter: str) -> bool:
    return letter in JOINERS or unicodedata.category(letter) not in UNSEEN


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


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

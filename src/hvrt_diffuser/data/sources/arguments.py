"""What a user may ask of a source."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from hvrt_diffuser.common.errors import InputError

__all__ = ["folder_name", "require_known"]


def require_known(parameter: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is not among ``known``.

    Raises:
        InputError: lists what is known, and what comes close.
    """
    if value in known:
        return
    by_lower = {name.lower(): name for name in known}
    close = [by_lower[match] for match in get_close_matches(str(value).lower(), by_lower)]
    advice = f"did you mean {' or '.join(close)}" if close else "choose one of these"
    raise InputError(f"{parameter} is '{value}', expected one of {', '.join(known)}: {advice}")


def folder_name(root: Path) -> str:
    """The last name of ``root``, also where it is written as ``.`` or ``..``."""
    return root.name if root.name not in ("", "..") else root.resolve().name

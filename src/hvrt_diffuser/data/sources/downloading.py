"""torchvision's downloads, with failures that a user can act on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hvrt_diffuser.common.errors import InputError

__all__ = ["download"]


def download(name: str, root: Path, fetch: Callable[[], object]) -> None:
    """Let torchvision fetch ``name`` into ``root``.

    Raises:
        InputError: the download failed, for whatever reason.
    """
    try:
        fetch()
    except Exception as error:  # torchvision lets errors of many libraries through
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"torchvision could not download {name} into {root} ({reason}), expected a connection "
            "and a folder that can be written: try again, or put the files there yourself"
        ) from error

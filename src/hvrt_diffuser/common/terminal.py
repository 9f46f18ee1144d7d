"""What the terminal shows when something fails: a sentence, where a sentence is enough."""

from __future__ import annotations

import sys
from types import TracebackType

from yaml import YAMLError

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import plain

__all__ = ["describe", "install"]


def install() -> None:
    """Print errors that the user can mend as one sentence, and leave the others as they are."""
    previous = sys.excepthook

    def report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sentence = describe(error)
        if sentence is None:
            previous(kind, error, traceback)
        else:
            print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201

    sys.excepthook = report


def describe(error: BaseException) -> str | None:
    """The sentence to tell the user, or None where only a traceback tells."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and cause.filename is None:
            return plain(cause.strerror)  # without "[Errno 28]" in front
        if isinstance(cause, InputError | OSError | FloatingPointError):
            return plain(str(cause))
        if isinstance(cause, YAMLError):  # of --params, before anything of this project sees it
            said = " ".join(str(cause).split())
            return (
                f"a parameter is no YAML ({said}), expected a value such as 3, true or [1, 2]: "
                "correct it in conf/ or in --params"
            )
        cause = cause.__cause__ or cause.__context__
    return None

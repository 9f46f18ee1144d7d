"""What the terminal shows when something fails: a sentence, where a sentence is enough."""

from __future__ import annotations

import os
import sys
from traceback import walk_tb
from types import TracebackType

from yaml import YAMLError

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import plain

__all__ = ["describe", "install"]

# What Kedro refuses in words of its own, before anything runs: in a module, or by a class.
OF_COMMAND = (
    "kedro registry list and kedro registry describe PIPELINE tell the names, and kedro run --help "
    "the options"
)
OF_CONFIGURATION = "correct it below conf/, or in --params"
ADVICE = {
    "kedro.pipeline.pipeline": OF_COMMAND,
    "kedro.framework.session.session": OF_COMMAND,
    "kedro.utils": OF_COMMAND,
    "kedro.config.omegaconf_config": "keep each key in one file of an environment below conf/",
    "DatasetNotFoundError": OF_COMMAND,
    "MissingConfigException": "the folders below conf/ are the environments",
    "ParserError": OF_CONFIGURATION,
    "OmegaConfBaseException": OF_CONFIGURATION,
}


def install() -> None:
    """Print errors that the user can mend as one sentence, and leave the others as they are."""
    previous = sys.excepthook

    def report(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sentence = describe(error)
        if issubclass(kind, KeyboardInterrupt):  # before a run has begun, or after it
            print("Interrupted.", file=sys.stderr)  # noqa: T201
        elif sentence is None:
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
        if isinstance(cause, OSError) and cause.strerror:
            where = os.fsdecode(cause.filename) if not isinstance(cause.filename, int) else "a file"
            return plain(
                f"{where} could not be read or written ({cause.strerror}), expected a file or "
                "folder that can: look at what lies there, and run again"
            )
        if isinstance(cause, InputError | OSError | FloatingPointError):
            return plain(str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, YAMLError):  # of --params, before anything of this project sees it
        value = getattr(getattr(error, "problem_mark", None), "buffer", None)
        shown = f"{value.rstrip(chr(0))!r}, which is" if value else "a text that is"
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        return plain(
            f"a parameter is {shown} no YAML ({said}), expected a value such as 3, true or "
            "[1, 2]: correct it in --params"
        )
    sentence = _of_kedro(error)
    return sentence and plain(sentence)


def _of_kedro(error: BaseException) -> str | None:
    """What Kedro says of a command or a configuration that it refuses, and what to do."""
    names = [kind.__name__ for kind in type(error).__mro__]
    advice = next((ADVICE[name] for name in names if name in ADVICE), None)
    if advice is None and isinstance(error, (ValueError, AttributeError)):
        frames = [frame for frame, _ in walk_tb(error.__traceback__)]
        advice = ADVICE.get(frames[-1].f_globals.get("__name__", "")) if frames else None
    if advice is None:
        return None
    said = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
    key = getattr(error, "full_key", None)  # of a value that stands for another one
    return f"{key}: {said}: {advice}" if key else f"{said}: {advice}"

"""A parser of arguments that says in one sentence what is wrong, and what was meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ["Parser", "suggestion"]

WRONG_USE = 2  # exit code


class Parser(argparse.ArgumentParser):
    """As argparse's, but for its errors: a sentence, with the nearest name that there is."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse options that are unknown: a subcommand's parser knows its own."""
        found, unknown = super().parse_known_args(args, namespace)
        wrong = next((each for each in unknown if each.startswith("-")), None)
        if wrong is not None:
            name = wrong.partition("=")[0]
            options = [each for each in self._option_string_actions if each.startswith("--")]
            self.error(f"there is no option {name}: {suggestion(name, options)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print a sentence, and exit with 2."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            names = [name.strip(" '") for name in choice[2].split(",")]
            message = f"{choice[1]!r} is none of {', '.join(names)}: {suggestion(choice[1], names)}"
        print(f"Error: {message}; see {self.prog} --help", file=sys.stderr)  # noqa: T201
        sys.exit(WRONG_USE)


def suggestion(name: str, known: Collection[str]) -> str:
    """What was probably meant, or what there is."""
    close = get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"

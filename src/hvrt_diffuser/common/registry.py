"""What can be chosen by a name: the project's own classes, installed ones, and a user's by path."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import no_option
from hvrt_diffuser.common.options import checked

__all__ = ["SAMPLERS", "Registry"]

T = TypeVar("T")
PATH = re.compile(r"[A-Za-z_]\w*([.:][A-Za-z_]\w*)+")


class Registry(Generic[T]):
    """Entries by name.

    A name is one that was registered, one of an entry point of an installed package, or the path
    of a class, ``package.module:Class``.

    Args:
        kind: what the entries are, for errors: ``sampler``.
        group: of the entry points, such as ``hvrt_diffuser.samplers``.
        needs: attributes that an entry has to have.
    """

    def __init__(self, kind: str, group: str, needs: Sequence[str]) -> None:
        self.kind, self.group, self.needs = kind, group, tuple(needs)
        self._own: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate a class with its name."""

        def keep(entry: T) -> T:
            self.add(name, entry)
            return entry

        return keep

    def add(self, name: str, entry: T) -> None:
        """Register an entry under a name.

        Raises:
            ValueError: another entry has the name.
        """
        if self._own.setdefault(name, entry) is not entry:
            raise ValueError(f"two {self.kind}s are registered as {name}, expected one")
        _let_know(entry, name)

    def add_variant(self, name: str, entry: type[BaseModel], doc: str, **defaults: Any) -> None:
        """Register the options of an entry with other defaults, as an entry of its own.

        ``doc`` says what it is, in a few words.
        """
        fields: dict[str, Any] = {}
        for option, default in defaults.items():
            field = entry.model_fields[option]
            fields[option] = (field.annotation, FieldInfo.merge_field_infos(field, default=default))
        variant = create_model(
            entry.__name__, __base__=entry, __module__=entry.__module__, __doc__=doc, **fields
        )
        variant.what = doc  # type: ignore[attr-defined]
        # Or it could not be sent to a worker: pickle looks for a class by that name in its module.
        variant.__qualname__ = f"{entry.__name__}_{name}"
        setattr(sys.modules[entry.__module__], variant.__qualname__, variant)
        self.add(name, variant)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        """All names that need no path, those of installed packages last."""
        return [*self._own, *(name for name in self._installed() if name not in self._own)]

    def own_names(self) -> list[str]:
        """The names that were registered."""
        return list(self._own)

    def find(self, name: str) -> T:
        """The entry of a name.

        Raises:
            InputError: an unknown name, a path or entry point that cannot be imported, or a class
                that lacks what such an entry needs.
        """
        if name in self._own:
            return self._own[name]
        installed = self._installed().get(name)
        if installed is not None:
            return self._checked(name, self._import(name, installed.load))
        if PATH.fullmatch(name):
            return self._checked(name, self._import(name, lambda: _load(name)))
        close = get_close_matches(name, self.names())
        advice = f"did you mean {' or '.join(close)}?" if close else "choose one of them"
        raise InputError(
            f"there is no {self.kind} called {name!r}, expected one of {', '.join(self.names())}, "
            f"or the path of a class such as package.module:Class: {advice}"
        )

    def make(self, name: str, options: Mapping[str, Any] | None = None, where: str = "") -> Any:
        """The entry of a name with some of its options, checked.

        Args:
            name: of an entry that is a Pydantic model.
            options: of its fields; the others have their defaults.
            where: what to call them in an error, such as ``samplers.hvrt``; nothing names the
                options alone, as arguments.

        Raises:
            InputError: an unknown name, an option that is another entry's or nobody's, one that
                is missing, or a value that is refused.
        """
        entry: Any = self.find(name)
        place = f"{where}." if where else ""
        for option in options or {}:
            if option not in entry.model_fields:
                self._refuse(name, option, list(entry.model_fields), place)
        for option, field in entry.model_fields.items():
            if field.is_required() and option not in (options or {}):
                raise InputError(
                    f"the {self.kind} {name} was given no {place}{option}, expected "
                    f"{field.description}: set it"
                )
        return checked(where, entry, options or {})

    def _refuse(self, name: str, option: str, known: list[str], place: str) -> None:
        others = [n for n, e in self._own.items() if option in getattr(e, "model_fields", {})]
        raise InputError(no_option(self.kind, name, f"{place}{option}", known, others))

    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _import(self, name: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except Exception as error:  # whatever a user's module raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"the {self.kind} {name} cannot be imported ({reason}), expected a class that "
                "Python finds: install its package, or correct the path package.module:Class"
            ) from error

    def _checked(self, name: str, entry: Any) -> T:
        missing = [need for need in self.needs if not hasattr(entry, need)]
        missing += sorted(getattr(entry, "__abstractmethods__", ()))
        if missing:
            raise InputError(
                f"the {self.kind} {name} lacks {', '.join(missing)}, expected "
                f"{', '.join(self.needs)}: add what is missing"
            )
        _let_know(entry, name)
        found: T = entry
        return found


def _let_know(entry: Any, name: str) -> None:
    """Classes know their names, but those whose objects have a field that is called so."""
    if isinstance(entry, type) and "name" not in getattr(entry, "model_fields", {}):
        entry.name = name  # type: ignore[attr-defined]


def _load(path: str) -> Any:
    module, _, attribute = path.rpartition(":" if ":" in path else ".")
    return getattr(importlib.import_module(module), attribute)


SAMPLERS: Registry[Any] = Registry(
    "sampler",
    "hvrt_diffuser.samplers",
    ("fit", "model_fields", "kind", "origin", "network", "uses", "drawing"),
)
"""Everything that draws images: of kind ``latents``, by an autoencoder, or of kind ``images``."""

"""Blocks of options: Pydantic models in which every option has a default and a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hvrt_diffuser.common.errors import InputError

__all__ = ["Options", "change", "checked", "first_error", "name_of", "reason_of", "shown"]

AS_TYPE = re.compile(r"(constrained-)?(int|float|str)|(function-\w+|dict|tuple)\[.*")
LONGEST = 60  # letters of a value that an error repeats

AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


class Options(BaseModel):
    """A block of options: they do not change, and an unknown one is an error.

    One value where several may stand is several of one: a command line has no lists.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_of_several(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            name: (value,) if _takes_several(cls, name) and _is_one(value) else value
            for name, value in values.items()
        }


def _takes_several(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    return any(get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis for kind in kinds)


def _is_one(value: Any) -> bool:
    return isinstance(value, (str, Number))


def change(where: str, options: AnyOptions, changes: Mapping[str, Any]) -> AnyOptions:
    """The same options with some changed, and checked.

    Args:
        where: what to call the options in an error, such as ``samplers.mixture``.
        options: as they are.
        changes: of their fields.

    Raises:
        InputError: one is unknown or refused; says which, and why.
    """
    return checked(where, type(options), {**options.model_dump(), **changes})


def checked(where: str, model: type[AnyOptions], values: Mapping[str, Any]) -> AnyOptions:
    """Options from values of some of their fields; the others have their defaults.

    Args:
        where: what to call the options in an error; nothing names the fields alone.
        model: of the options.
        values: by field.

    Raises:
        InputError: one is unknown, missing or refused; says which, and why.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = first_error(error)
        place = ".".join(filter(None, [where, name_of(first["loc"])]))
        silent = first["type"] in ("extra_forbidden", "missing") or not first["loc"]
        found = "" if silent else f" is {shown(first['input'])}"
        raise InputError(f"{place}{found}: {reason_of(first)}") from error


def first_error(error: ValidationError) -> Mapping[str, Any]:
    """The first thing that Pydantic refused; of what may be of several types, what lies deepest."""
    first, *others = error.errors()
    name = name_of(first["loc"])
    below = [each for each in others if name and name_of(each["loc"]).startswith(f"{name}.")]
    found: Mapping[str, Any] = max(below, key=lambda each: len(each["loc"]), default=first)
    return found


def name_of(place: Iterable[int | str]) -> str:
    """The full name of an option, of where Pydantic refused it.

    Pydantic also tells which of several types a value was tried as, which is no part of the name.
    """
    return ".".join(text for text in map(str, place) if not AS_TYPE.fullmatch(text))


def shown(value: Any) -> str:
    """A value as an error repeats it, which may be far longer than a line."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def reason_of(error: Mapping[str, Any]) -> str:
    """Why Pydantic refused a value, to stand behind a colon."""
    reason = str(error["msg"]).removeprefix("Value error, ")
    return f"{reason[0].lower()}{reason[1:]}"

"""Blocks of options: Pydantic models in which every option has a default and a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hvrt_diffuser.common.errors import InputError

__all__ = ["Options", "change", "checked"]

AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


class Options(BaseModel):
    """A block of options: they do not change, and an unknown one is an error.

    One value where several may stand is several of one: a command line has no lists.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    return isinstance(value, (str, int, float))


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
        first = error.errors()[0]
        place = ".".join(map(str, (*filter(None, [where]), *first["loc"])))
        silent = first["type"] in ("extra_forbidden", "missing") or not first["loc"]
        found = "" if silent else f" is {first['input']!r}"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{place}{found}: {reason[0].lower()}{reason[1:]}") from error

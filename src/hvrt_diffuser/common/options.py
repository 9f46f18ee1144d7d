"""Blocks of options: Pydantic models in which every option has a default and a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hvrt_diffuser.common.errors import InputError

__all__ = ["Options", "change", "checked"]

AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


class Options(BaseModel):
    """A block of options: they do not change, and an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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

"""Blocks of options: Pydantic models in which every option has a default and a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hvrt_diffuser.common.errors import InputError

__all__ = ["Options", "change"]

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
    try:
        return type(options).model_validate({**options.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (where, *first["loc"])))
        found = (
            ""
            if first["type"] == "extra_forbidden" or not first["loc"]
            else (f" is {first['input']!r}")
        )
        raise InputError(f"{place}{found}: {first['msg'][0].lower()}{first['msg'][1:]}") from error

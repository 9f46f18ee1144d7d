"""What the blocks of parameters have in common."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from hvrt_diffuser.common.devices import DeviceName
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import Registry

__all__ = ["ChosenOptions", "DeviceOptions"]


class DeviceOptions(Options):
    """A block of parameters with a device of its own."""

    device: DeviceName | None = Field(None, description="null is the run's device")


class ChosenOptions(Options):
    """A block that names an entry of a registry, and holds the entry's options beside its own.

    Attributes:
        block: what the block is called.
        chooser: its parameter that names the entry.
        registry: of the entries.
    """

    model_config = ConfigDict(extra="allow")

    block: ClassVar[str]
    chooser: ClassVar[str]
    registry: ClassVar[Registry[Any]]

    @property
    def chosen(self) -> Any:
        """The entry, with its options."""
        return self.registry.make(getattr(self, self.chooser), self._extra(), self.block)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Check the options of the entry, and add its defaults."""
        options = self._extra()
        known = self.registry.find(getattr(self, self.chooser)).model_fields
        for option in options.keys() - known.keys():
            if close := get_close_matches(option, type(self).model_fields, 1):
                raise InputError(
                    f"the parameter {self.block}.{option} is unknown: did you mean {close[0]}?"
                )
        assert self.model_extra is not None, "extra ones are allowed"
        self.model_extra.update(self.chosen.model_dump())
        return self

    def _extra(self) -> Mapping[str, Any]:
        return self.model_extra or {}

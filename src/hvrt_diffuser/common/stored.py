"""Dataclasses of tensors, networks and JSON, which are moved, written and read as a whole."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import torch
from torch import Tensor, nn
from typing_extensions import Self

from hvrt_diffuser.common.devices import as_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, tensors_below, write_tensors
from hvrt_diffuser.common.registry import SAMPLERS

__all__ = ["Stored", "load_stored"]

FORMS: dict[str, type[Stored]] = {}


class Stored:
    """A frozen dataclass of tensors, networks, others of this kind, and JSON.

    A network has ``size``, JSON of the keyword arguments that build one like it, and the field
    that holds it is annotated with its class.

    Attributes:
        form: what the class is called in a file; its path, where it does not say.
        file_kind: what a file of it is called.
    """

    form: ClassVar[str]
    file_kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.form = cls.__dict__.get("form", f"{cls.__module__}:{cls.__qualname__}")
        FORMS[cls.form] = cls

    def _fields(self) -> dict[str, Any]:
        own: Any = self
        return {field.name: getattr(self, field.name) for field in fields(own)}

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """The same on another device, or of another floating type.

        Raises:
            InputError: a device that is not there.
        """
        target = target if isinstance(target, torch.dtype) else as_device(target)

        def moved(value: Any) -> Any:
            if isinstance(value, nn.Module):
                return copy.deepcopy(value).to(target)
            if isinstance(value, Tensor) and isinstance(target, torch.dtype):
                return value.to(target) if value.is_floating_point() else value
            return value.to(target) if isinstance(value, (Tensor, Stored)) else value

        own: Any = self
        return replace(own, **{name: moved(value) for name, value in self._fields().items()})

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, which :func:`load_stored` reads."""
        tensors, header = self.packed()
        write_tensors(path, _apart(tensors), {"kind": self.file_kind, **header})

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and a header of JSON."""
        tensors: dict[str, Tensor] = {}
        header: dict[str, Any] = {"form": self.form, "parts": {}, "networks": {}}
        for name, value in self._fields().items():
            own: dict[str, Tensor] = {}
            if isinstance(value, Tensor):
                tensors[name] = value
            elif isinstance(value, nn.Module):
                own, header["networks"][name] = value.state_dict(), value.size
            elif isinstance(value, Stored):
                own, header["parts"][name] = value.packed()
            else:
                header[name] = value
            tensors |= {f"{name}.{key}": tensor for key, tensor in own.items()}
        return tensors, header

    @classmethod
    def build(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """The opposite of :meth:`packed`; networks come in evaluation mode.

        Raises:
            KeyError: something is missing.
        """

        def held(name: str) -> Any:
            own = tensors_below(tensors, f"{name}.")
            if name in header["parts"]:
                part = header["parts"][name]
                return FORMS[part["form"]].build(own, part)
            if name in header["networks"]:
                network: nn.Module = get_type_hints(cls)[name](**header["networks"][name])
                network.load_state_dict({key: own[key] for key in network.state_dict()})
                return network.requires_grad_(False).eval()
            return tensors[name] if name in tensors else header[name]

        whole: Any = cls
        return whole(**{field.name: held(field.name) for field in fields(whole)})


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, where no two share memory: safetensors refuses to write it twice."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return found


def load_stored(path: str | Path, *kinds: str) -> Any:
    """Read what :meth:`Stored.save` wrote, onto the CPU.

    Args:
        path: the safetensors file.
        kinds: of file, one of which it has to be.

    Raises:
        InputError: the file is missing, cut short, of another kind or version, or of a class that
            is not imported.
    """
    tensors, header = read_tensors(path, *kinds)
    try:
        name = str(header["origin"]["sampler"]) if header["form"] not in FORMS else ""
        if name in SAMPLERS.names():  # of a package that nobody has imported yet
            SAMPLERS.find(name)
        elif name and name.partition(":")[0] not in sys.modules:
            # A file does not decide which module is imported.
            raise InputError(
                f"{path} holds a sampler of the class {name}, expected one whose module is "
                "imported: import it first, or choose it by generation.sampler"
            )
        return FORMS[header["form"]].build(tensors, header)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} lacks {error}, expected a {header['kind']} of this version: "
            "fit it again with this version"
        ) from error
    except RuntimeError as error:
        raise InputError(
            f"{path} holds weights of another network than the one in its header: "
            "delete it and train again"
        ) from error

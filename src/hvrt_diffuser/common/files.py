"""Files that appear whole or not at all, and arrays stored without pickle."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.tensor_file import bytes_of, write_safetensors

if TYPE_CHECKING:  # importing torch takes seconds, and the hooks of Kedro import this module
    from torch import Tensor

__all__ = [
    "MADE_BY_KEY",
    "Turn",
    "hash_file",
    "hash_tensors",
    "is_whole",
    "made_by",
    "read_made_by",
    "read_tensors",
    "remove_left",
    "tensors_below",
    "whole_file",
    "write_tensors",
]

HEADER_KEY = "hvrt_diffuser"
PARTIAL = ".partial"
LEFT = re.compile(rf"\..+\.[0-9a-f]{{8}}\{PARTIAL}")
SETTLED = 0.2  # seconds after which whoever made a file has locked it, or is no more
MADE_BY_KEY = "made_by"
CHECKSUM_KEY = "sha256"
CHUNK = 2**20  # bytes that are read at a time
_made_by: ContextVar[Mapping[str, Any] | None] = ContextVar(MADE_BY_KEY, default=None)


@contextmanager
def made_by(parameters: Mapping[str, Any] | None) -> Iterator[None]:
    """A block in which :func:`write_tensors` also writes what the tensors were made with."""
    token = _made_by.set(parameters)
    try:
        yield
    finally:
        _made_by.reset(token)


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that replaces it once the block has succeeded.

    A block that raises, is killed or fills the disk leaves ``target`` as it was.

    Raises:
        OSError: the file could not be written; says so, and that the old file is untouched.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # which a killed process no longer has
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    except OSError as error:
        raise _unwritten(target, error) from error
    finally:
        with suppress(NotADirectoryError):  # a file above it
            temporary.unlink(missing_ok=True)


def remove_left(folder: Path, *, below: bool = False) -> None:
    """Remove from a folder what processes that were killed left of files they never finished.

    Args:
        folder: which need not be there.
        below: also from all folders in it.
    """
    for path in folder.rglob("*") if below else folder.glob("*"):
        with suppress(OSError):  # removed by another, or not ours to read
            if not LEFT.fullmatch(path.name) or time.time() - path.stat().st_mtime < SETTLED:
                continue
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is written
                path.unlink()


def _unwritten(target: Path, error: OSError) -> OSError:
    above = next((p for p in target.parents if p.exists() and not p.is_dir()), None)
    if target.is_dir() or above is not None:
        found = f"{target} is a folder" if above is None else f"{above} is a file"
        return OSError(
            error.errno,
            f"{found}, where {target.name} was to be written; nothing was replaced: move it away, "
            "and run again",
        )
    return OSError(
        error.errno,
        f"could not write {target} ({error.strerror or error}); nothing was replaced: "
        "free some space or choose another place, and run again",
    )


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write named tensors and a JSON header to a safetensors file, whole or not at all.

    The bytes depend on the tensors, the header and :func:`made_by` alone. The header also gets a
    checksum of all of it, since safetensors has none.
    """
    parameters = _made_by.get()
    if parameters is not None:
        header = {**header, MADE_BY_KEY: parameters}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {**header, CHECKSUM_KEY: _checksum(tensors, header)}
    # One entry alone: safetensors writes several in an order of its own, another one each time.
    metadata = {HEADER_KEY: json.dumps(header, sort_keys=True, allow_nan=False)}
    with whole_file(path) as temporary:
        write_safetensors(temporary, tensors, metadata)


def read_tensors(path: str | Path, *kinds: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote: tensors on the CPU, and the header.

    Args:
        path: the safetensors file.
        kinds: the header's ``kind`` has to be one of them.

    Raises:
        InputError: the file is missing, cut short, damaged, not one of this project's, or of
            another kind.
    """
    path, kind = Path(path), "' or '".join(kinds)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, where a file of kind '{kind}' was expected: move it away, and "
            "run the pipeline that writes it"
        )
    if not path.is_file():
        raise InputError(
            f"{path} does not exist, where a file of kind '{kind}' was expected: "
            "run the pipeline that writes it"
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = dict(json.loads((file.metadata() or {})[HEADER_KEY]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) is cut short or was not written by "
            f"hvrt_diffuser, where a file of kind '{kind}' was expected: delete it and run the "
            "pipeline that writes it"
        ) from error
    if header.pop(CHECKSUM_KEY, None) != _checksum(tensors, header):
        raise InputError(
            f"{path} was changed or damaged since it was written, or is of an earlier version, "
            "expected contents of the checksum in its header: delete it and run the pipeline that "
            "writes it, or copy it again"
        )
    header.pop(MADE_BY_KEY, None)
    if header.get("kind") not in kinds:
        raise InputError(
            f"{path} holds '{header.get('kind')}' where '{kind}' was expected: give the right file"
        )
    return tensors, header


def _checksum(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """SHA-256 of the names, types, shapes and bytes of tensors, and of a header."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(bytes_of(tensor.contiguous()))
    return digest.hexdigest()


def read_made_by(path: str | Path) -> dict[str, Any] | None:
    """What a safetensors file says that it was made with; None where it says nothing."""
    try:
        with safetensors.safe_open(Path(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER_KEY])
            found: dict[str, Any] | None = header.get(MADE_BY_KEY)
    except (OSError, safetensors.SafetensorError, KeyError, ValueError):
        return None
    return found


class Turn:
    """What one process at a time may have; the system takes it from a process that is killed.

    Args:
        path: a folder that is there, or a file that all of them agree on, which is made, and
            stays, empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Wait until no other process has it.

        Raises:
            InputError: a file lies where its folder should be.
        """
        fcntl.flock(self._open(), fcntl.LOCK_EX)

    def take_if_free(self, *, shared: bool = False) -> bool:
        """Take it unless another process has it; whether this one has it now.

        Args:
            shared: with all others who take it shared.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.give()
            return False
        return True

    def give(self) -> None:
        """Let another process have it; nothing happens where this one does not."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            [file] = [path for path in self.path.parents if path.exists() and not path.is_dir()]
            raise InputError(
                f"{file} is a file, expected a folder to keep files in: move the file away"
            ) from None
        flags = os.O_RDONLY if self.path.is_dir() else os.O_RDWR | os.O_CREAT
        self._descriptor = os.open(self.path, flags, 0o666)
        return self._descriptor

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *error: object) -> None:
        self.give()


def tensors_below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that depend on the names and bytes of tensors alone."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(bytes_of(tensor.cpu().contiguous()))
    return digest.hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, which is read once unless it has changed since."""
    stat = path.stat()
    return _hash_file(path, stat.st_mtime_ns, stat.st_size)


@cache
def _hash_file(path: Path, changed: int, size: int) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            found.update(data)
    return found.hexdigest()


def is_whole(path: str | Path) -> bool:
    """Whether ``path`` is a complete safetensors file (its length matches its header)."""
    try:
        with safetensors.safe_open(Path(path), framework="pt"):
            return True
    except (OSError, safetensors.SafetensorError):
        return False

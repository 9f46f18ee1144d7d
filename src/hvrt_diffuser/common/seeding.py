"""One seed for a run, split by name into independent generators."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from hvrt_diffuser.common.bounds import MOST_SEED, whole_number

__all__ = ["borrowed_seed", "derive_seed", "generator"]

_BORROWED = Lock()


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and on what it is for, and on nothing else.

    Raises:
        InputError: ``seed`` is no whole number of 63 bits.
    """
    seed = whole_number("seed", seed, 0, MOST_SEED)
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """An explicit generator for the purpose that ``names`` states."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *names))


@contextmanager
def borrowed_seed(seed: int, *names: str | int) -> Iterator[None]:
    """A block in which torch's global generator is one for the purpose that ``names`` states.

    torch's initialisers of weights draw from it and take no other; afterwards it stands as before.
    One thread at a time has it.
    """
    with _BORROWED, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, *names))
        yield

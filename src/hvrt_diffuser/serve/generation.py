"""What is asked for, and the answer that is drawn while it is sent."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated

import anyio
import anyio.to_thread
import torch
from pydantic import Field, StrictStr
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from torch import Tensor

from hvrt_diffuser.common.bounds import ClassNumber, Count, Seed
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.serve.formats import Format

__all__ = ["MAX_NPZ", "Answer", "GenerateRequest"]

MAX_NPZ = 10_000  # images; an npz is made in memory
Class = ClassNumber | StrictStr


class GenerateRequest(Options):
    """The body of ``POST /v1/generate``.

    Attributes:
        n: how many images; may be left out where ``labels`` are given.
        class_id: the class of all images: its number, or its name as a string; None draws from
            all classes in their real proportions.
        labels: the class of each image.
        seed: of the draws; None takes one at random. The answer tells it.
        format: of the answer.
    """

    n: Count | None = None
    class_id: Class | None = None
    labels: Annotated[list[Class], Field(min_length=1)] | None = None
    seed: Seed | None = None
    format: Format = "tar"

    def number(self, most: int) -> int:
        """How many images.

        Raises:
            InputError: that is not said, said twice and differently, or too many.
        """
        n = self.n if self.labels is None else len(self.labels)
        if n is None:
            raise InputError("neither n nor labels were given, expected one: add n")
        if self.n not in (None, n):
            raise InputError(f"n is {self.n} and there are {n} labels: leave n out")
        if self.format == "npz" and n > MAX_NPZ:
            raise InputError(
                f"n is {n}, expected at most {MAX_NPZ} as npz: ask for tar, zip or parquet"
            )
        if n > most:
            raise InputError(
                f"n is {n}, expected at most {most}: ask several times, with other seeds"
            )
        return n

    def classes(self, n: int, names: tuple[str, ...]) -> Tensor | None:
        """The class of each image, int64 (n,); None for all in their real proportions.

        Raises:
            InputError: a class is unknown, or one and several were asked for at once.
        """
        if self.labels is None:
            found = None if self.class_id is None else _number_of(self.class_id, names)
            return None if found is None else torch.full((n,), found)
        if self.class_id is not None:
            raise InputError("class_id and labels were given, expected one of them: drop one")
        return torch.tensor([_number_of(label, names) for label in self.labels])

    def chosen_seed(self) -> int:
        """The seed, or one at random that JavaScript can hold."""
        return secrets.randbits(53) if self.seed is None else self.seed


def _number_of(wanted: Class, names: tuple[str, ...]) -> int:
    if isinstance(wanted, str):
        if wanted not in names:
            raise InputError(
                f"no class is called {wanted!r}: take a name or a number of GET /v1/model"
            )
        return names.index(wanted)
    if not 0 <= wanted < len(names):
        raise InputError(
            f"class {wanted} was asked for, expected 0 to {len(names) - 1}: choose one of them"
        )
    return wanted


class Answer(StreamingResponse):
    """A body that a thread draws, part by part, while the event loop sends it.

    A client that leaves, and the limit of time, stop the drawing before its next part; nothing
    but a missing end tells a client that more was to come, since the status has been sent.

    Args:
        parts: of the body, none of them empty; taken in a thread, one after the other.
        first: the one before them.
        seconds: that all may take.
        ended: called once, with whether the body was sent to its end.
        media_type: of the body.
        headers: of the answer.
    """

    def __init__(
        self,
        parts: Iterator[bytes],
        first: bytes,
        *,
        seconds: float,
        ended: Callable[[bool], None],
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        self._parts, self._first, self._seconds, self._ended = parts, first, seconds, ended
        self._whole = False
        super().__init__(self._body(), media_type=media_type, headers=headers)

    async def _body(self) -> AsyncIterator[bytes]:
        yield self._first
        # A generator that starlette ran in threads by itself would be left open by a client
        # that leaves.
        while part := await anyio.to_thread.run_sync(partial(next, self._parts, b"")):
            yield part
        self._whole = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            with anyio.move_on_after(self._seconds):
                await super().__call__(scope, receive, send)
        finally:
            self._ended(self._whole)

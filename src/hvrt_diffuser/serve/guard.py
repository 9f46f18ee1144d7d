"""What stands before every route: the token, the limits of a body, and the count."""

from __future__ import annotations

import hmac

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hvrt_diffuser.serve.counters import Counters

__all__ = ["MAX_BODY", "Guard"]

MAX_BODY = 256 * 1024  # bytes; as many as 100,000 labels take
BODY_SECONDS = 10
# The page holds nothing of the model; the others are for whoever watches the process.
OPEN = ("/", "/health", "/ready", "/source")
GUARDED = ("/v1/generate", "/v1/model", "/metrics")
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Guard:
    """Counts requests, asks for the token, and reads a body before the application does.

    Args:
        app: the application.
        token: what ``Authorization: Bearer`` has to bring; None asks for nothing.
        counters: where to count.
    """

    def __init__(self, app: ASGIApp, token: str | None, counters: Counters) -> None:
        self._app, self._counters = app, counters
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        path = scope["path"] if scope["path"] in (*OPEN, *GUARDED) else "other"
        started = False

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._counters.requests[path, message["status"]] += 1
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        if scope["path"] not in OPEN and not self._known(scope):
            sentence = "no token or a wrong one came, expected Authorization: Bearer TOKEN: add it"
            answer = JSONResponse({"detail": sentence}, 401, {"WWW-Authenticate": "Bearer"})
            await answer(scope, receive, counted)
            return
        body: bytes | None = None
        with anyio.move_on_after(BODY_SECONDS) as waiting:
            body = await _read(receive, Headers(scope=scope).get("content-length", ""))
        if body is None:
            status, sentence = 413, f"the body has more than {MAX_BODY:,} bytes: ask for less"
            if waiting.cancelled_caught:
                status = 408
                sentence = f"the body did not come within {BODY_SECONDS} s: send it again"
            # What was not read would be taken for the next request of the connection.
            answer = JSONResponse({"detail": sentence}, status, {"Connection": "close"})
            await answer(scope, receive, counted)
            return
        unread = [body]

        async def replayed() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await receive()

        try:
            await self._app(scope, replayed, counted)
        except Exception:  # starlette answers it, outside of this
            if not started:
                self._counters.requests[path, 500] += 1
            raise

    def _known(self, scope: Scope) -> bool:
        if self._expected is None:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)


async def _read(receive: Receive, announced: str) -> bytes | None:
    """The body; None where it is too large."""
    if announced.isdecimal() and int(announced) > MAX_BODY:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)

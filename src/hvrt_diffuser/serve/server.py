"""The process: load, listen, and end in order."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import uvicorn

from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.serve.app import make_app
from hvrt_diffuser.serve.options import ServeOptions

__all__ = ["serve"]


def serve(model: Path, options: ServeOptions) -> None:
    """Serve a model until SIGTERM or Ctrl-C; returns once requests in flight have ended.

    Args:
        model: a folder that :meth:`HVRTDiffuser.load` reads.
        options: where to listen, and the limits.

    Raises:
        InputError: the model is missing or broken, or the address is taken or not this machine's.
    """
    diffuser = HVRTDiffuser.load(model, resolve_device(options.device))
    config = uvicorn.Config(
        make_app(diffuser, options),
        log_level="info",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=options.seconds,
    )
    server = uvicorn.Server(config)

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn takes both signals while it runs, and raises them again once it has ended in order:
    # they would kill the process, and its exit code would tell a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with _listen(options.host, options.port) as listener:
        host, port = listener.getsockname()[:2]
        config.host, config.port = host, port
        address = f"[{host}]" if ":" in host else host
        uvicorn.config.logger.info("Serving %s on http://%s:%d", model, address, port)
        server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}), expected a free "
            "port of this machine: choose another --host or --port"
        ) from error
    return listener

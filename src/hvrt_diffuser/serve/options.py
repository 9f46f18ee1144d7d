"""How a model is served."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Count, Port, Repetitions, Seconds
from hvrt_diffuser.common.devices import DeviceName
from hvrt_diffuser.common.options import Options

__all__ = ["ServeOptions", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServeOptions(Options):
    """Where the service listens, and what one request may ask for.

    Attributes:
        host: address to listen on; anything but the loopback needs a token.
        port: to listen on; 0 takes a free one.
        token: what a request to /v1 and /metrics has to bring; None asks for nothing.
        device: where to draw and to decode.
        max_images: of one request.
        jobs: requests that draw at the same time; the next one gets 503.
        seconds: that one request may take, and that the end waits for those that still run.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    token: Annotated[str, Field(min_length=16)] | None = None
    device: DeviceName = "auto"
    max_images: Count = 100_000
    jobs: Repetitions = 2
    seconds: Seconds = 300

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines and no token was given, expected "
                "one that a request has to bring: set --token or HVRT_DIFFUSER_TOKEN, or listen "
                "on 127.0.0.1"
            )
        return self

"""What the service has done, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hvrt_diffuser.common.machine import memory

__all__ = ["Counters"]


@dataclass
class Counters:
    """Numbers since the start; they change on the event loop alone.

    Attributes:
        requests: by path and status; unknown paths are one.
        images: that were sent.
        running: requests that draw now.
        unfinished: answers that ended early: their client left, time ran out, or drawing failed.
    """

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    images: int = 0
    running: int = 0
    unfinished: int = 0

    def text(self) -> str:
        """All of them."""
        lines = ["# TYPE hvrt_diffuser_requests_total counter"]
        for (path, status), n in sorted(self.requests.items()):
            labels = f'path="{path}",status="{status}"'
            lines.append(f"hvrt_diffuser_requests_total{{{labels}}} {n}")
        values = [
            ("images_total", "counter", self.images),
            ("unfinished_total", "counter", self.unfinished),
            ("running", "gauge", self.running),
        ]
        if (held := memory()) is not None:
            values.append(("resident_memory_bytes", "gauge", round(held[0] * 1e6)))
        for name, kind, value in values:
            lines += [f"# TYPE hvrt_diffuser_{name} {kind}", f"hvrt_diffuser_{name} {value}"]
        return "\n".join(lines) + "\n"

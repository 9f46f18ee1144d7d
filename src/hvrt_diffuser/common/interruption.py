"""Ctrl-C: long work in threads ends at its next step, and not with its last one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["InterruptedWorkError", "check", "ending_together", "give_up", "go_on", "on_interrupt"]

_stop = threading.Event()


class InterruptedWorkError(Exception):
    """Work in a thread ended early, because what waited for it was given up."""


def check() -> None:
    """Called at each step of long work.

    Raises:
        InterruptedWorkError: what waits for it was given up.
    """
    if _stop.is_set():
        raise InterruptedWorkError


def give_up() -> None:
    """Let all work end at its next :func:`check`."""
    _stop.set()


def go_on() -> None:
    """Let what comes after be done."""
    _stop.clear()


@contextmanager
def ending_together(join: Callable[[], None]) -> Iterator[None]:
    """A block that waits for work in threads.

    An error in it, or Ctrl-C, lets them end at their next :func:`check`.

    Args:
        join: waits until they have ended.
    """
    try:
        yield
    except BaseException:
        give_up()
        raise
    finally:
        join()
        go_on()


def on_interrupt(say: Callable[[], None]) -> None:
    """Call ``say`` at the next Ctrl-C, which then does what it did before.

    Signals arrive in the main thread; elsewhere nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:  # as of a shell's job in the background
        return

    def heard(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        say()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, heard)

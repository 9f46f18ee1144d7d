"""Ctrl-C: threads end at their next step, and the way to go on is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hvrt_diffuser.common.interruption import InterruptedWorkError, check, ending_together


def test_an_error_ends_the_work_of_all_threads() -> None:
    pool, begun = ThreadPoolExecutor(2), threading.Event()

    def endless() -> None:
        while True:
            begun.set()
            check()

    works = [pool.submit(endless) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt), ending_together(pool.shutdown):
        begun.wait()
        raise KeyboardInterrupt
    for work in works:
        assert isinstance(work.exception(), InterruptedWorkError)
    check()  # what comes after is not given up


def test_without_an_error_all_work_is_done() -> None:
    pool = ThreadPoolExecutor(2)

    def short() -> int:
        check()
        return 7

    with ending_together(pool.shutdown):
        works = [pool.submit(short) for _ in range(9)]
    assert [work.result() for work in works] == [7] * 9


def test_the_first_interrupt_says_how_to_go_on_and_interrupts() -> None:
    code = """
import signal, time
from hvrt_diffuser.common.interruption import on_interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
on_interrupt(lambda: print("go on", flush=True))
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "go on\ninterrupted True\n"

"""Processes of this machine that do tasks, and end with whoever waits for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

from hvrt_diffuser.common import interruption

__all__ = ["processes"]


@contextmanager
def processes(n: int) -> Iterator[Executor]:
    """Yield ``n`` processes, each of which does a task at a time, by one thread of torch's.

    Where the block fails or is interrupted, tasks end at their next
    :func:`hvrt_diffuser.common.interruption.check`; where this process is killed, at once.
    Tasks are functions of a module, with arguments that can be pickled.
    """
    spawned = multiprocessing.get_context("spawn")  # torch's threads do not live through a fork
    theirs, ours = spawned.Pipe(duplex=False)
    pool = ProcessPoolExecutor(n, mp_context=spawned, initializer=_begin, initargs=(theirs,))
    try:
        with ours:  # its end is what they hear
            with _deaf_children():
                for _ in range(n):  # each starts one
                    pool.submit(os.getpid)
            yield pool
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown()
        theirs.close()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """A block whose processes never hear Ctrl-C, which reaches all of a terminal's; one decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(end: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of one that was started later
    import torch  # it takes long, and whatever ends it should find it deaf

    torch.set_num_threads(1)  # more would wait for each other, and might round differently
    threading.Thread(target=_heed, args=(end,), daemon=True).start()


def _heed(end: Connection) -> None:
    """Give up the work once the other process closes its end, and end where it is no more."""
    end.poll(None)
    interruption.give_up()
    other = multiprocessing.parent_process()
    assert other is not None, "this one was spawned"
    other.join()
    os._exit(1)

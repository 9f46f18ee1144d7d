"""The engine that options ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hvrt_diffuser.common.engine import Engine, EngineOptions, used
from hvrt_diffuser.common.errors import InputError

__all__ = ["opened"]


@contextmanager
def opened(options: EngineOptions, folder: Path, *, gpu: bool = False) -> Iterator[Engine]:
    """A block whose tasks run by these options.

    Args:
        options: of the engine.
        folder: of the tasks' files, which all workers see; finished ones are gone on from, and
            removed at the end of a block that succeeds.
        gpu: whether tasks will ask for one.

    Raises:
        InputError: the scheduler or its workers cannot be used.
    """
    with used(_made(options, folder, gpu)) as engine:
        yield engine


def _made(options: EngineOptions, folder: Path, gpu: bool) -> Engine:
    if options.kind == "local":
        return Engine(options.workers)
    try:
        from hvrt_diffuser.common.dask_engine import DaskEngine
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise InputError(
            f"engine.kind is dask and the package {error.name} is not installed, expected the "
            "extra dask: pip install 'hvrt-diffuser[dask]', or set engine.kind to local"
        ) from None
    return DaskEngine(options, folder.resolve(), gpu=gpu)

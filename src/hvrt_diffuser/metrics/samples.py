"""What every measure asks of the two samples that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import sklearn
from numpy.typing import NDArray

from hvrt_diffuser.common.errors import InputError

__all__ = ["Array", "Float64", "bounded_memory", "check_sample", "check_samples", "choose"]

Array = NDArray[np.floating]
Float64 = NDArray[np.float64]

LARGEST = 1e20  # its twelfth power, in the deviation of a kernel distance, is finite
MEGABYTES = 256  # of distances between two samples at once


def check_samples(a: Array, b: Array) -> tuple[Float64, Float64]:
    """Two samples (n, d) and (m, d) in float64.

    Raises:
        InputError: dimensions that differ, an empty sample, or values that are not finite.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(a.size, b.size) == 0:
        raise InputError(
            f"samples of shapes {a.shape} and {b.shape} were given, expected (n, d) and (m, d), "
            "neither of them empty: take both from one extractor"
        )
    return _finite(a), _finite(b)


def check_sample(a: Array) -> Float64:
    """A sample (n, d) in float64.

    Raises:
        InputError: another shape, an empty sample, or values that are not finite.
    """
    a = np.asarray(a)
    if a.ndim != 2 or a.size == 0:
        raise InputError(
            f"a sample of shape {a.shape} was given, expected (n, d), not empty: give the features "
            "of at least one image"
        )
    return _finite(a)


def _finite(a: Array) -> Float64:
    values = a.astype(np.float64, copy=False)
    if not (np.abs(values) <= LARGEST).all():
        raise InputError(
            f"the samples hold NaN or infinite values, or some beyond {LARGEST:.0e}, expected "
            "finite numbers: look at the images and the extractor that gave them"
        )
    return values


def choose(a: Float64, n: int, source: np.random.Generator) -> Float64:
    """Choose n rows, without repetition; all of them, as they are, where there are no more."""
    return a if len(a) <= n else a[source.choice(len(a), n, replace=False)]


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Distances between two samples are made a chunk at a time, whatever the sizes."""
    with sklearn.config_context(working_memory=MEGABYTES):
        yield

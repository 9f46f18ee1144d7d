"""What numbers users may set: of one kind, finite, and within what a fit survives.

Bounds are generous: they keep out what would hang, fill any memory or train nonsense, and what
depends on the images is looked at once these are read. A field that is narrower says so beside its
type: ``steps: Steps = Field(150, ge=2)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo

from hvrt_diffuser.common.errors import InputError

__all__ = [
    "MOST_IMAGES",
    "MOST_SEED",
    "BatchSize",
    "ClassNumber",
    "Components",
    "Copies",
    "Count",
    "Decay",
    "Degrees",
    "Depth",
    "Distinct",
    "Epochs",
    "Factor",
    "GradientNorm",
    "KLWeight",
    "LatentDim",
    "Layers",
    "LearningRate",
    "PenaltyWeight",
    "Pixels",
    "Port",
    "Ratio",
    "Repetitions",
    "Seconds",
    "Seed",
    "Share",
    "Shift",
    "Side",
    "SolverSteps",
    "Steps",
    "TreeDepth",
    "Trials",
    "Variance",
    "WeightDecay",
    "Width",
    "numbers_in",
    "whole_number",
]

MOST_IMAGES = 10**8
MOST_SEED = 2**63 - 1

T = TypeVar("T")


def _whole(value: Any) -> int:
    """A whole number of Python or numpy; a truth value, a text and 1.0 are none."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise ValueError("expected a whole number")


def _real(value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf  # which the bounds refuse
    raise ValueError("expected a number")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    # 1 and True are equal, and 1 and 1.0: in a grid they are different values.
    seen = [f"{type(value).__name__} {value!r}" for value in values]
    for place, value in enumerate(values):
        if seen[place] in seen[:place]:
            raise ValueError(f"{value} stands there twice, expected each once: leave one out")
    return values


WHOLE, REAL = BeforeValidator(_whole), BeforeValidator(_real)
Distinct = AfterValidator(_distinct)
"""Of a tuple: no value stands there twice."""

Seed = Annotated[int, WHOLE, Field(ge=0, le=MOST_SEED)]
Count = Annotated[int, WHOLE, Field(ge=1, le=MOST_IMAGES)]  # of images, latents, or rows
ClassNumber = Annotated[int, WHOLE, Field(ge=-MOST_SEED, le=MOST_SEED)]  # or a name of digits

Steps = Annotated[int, WHOLE, Field(ge=1, le=10**7)]  # of an optimiser
Epochs = Annotated[int, WHOLE, Field(ge=1, le=10**5)]
BatchSize = Annotated[int, WHOLE, Field(ge=1, le=2**16)]
LearningRate = Annotated[float, REAL, Field(gt=0, le=1)]
# By its product with the rate weights shrink in a step: above 1 they would change their sign.
WeightDecay = Annotated[float, REAL, Field(ge=0, le=1)]
Decay = Annotated[float, REAL, Field(ge=0, lt=1)]  # of an average, per step
GradientNorm = Annotated[float, REAL, Field(gt=0, le=1e6)]
KLWeight = Annotated[float, REAL, Field(ge=0, le=1000)]
PenaltyWeight = Annotated[float, REAL, Field(ge=0, le=1e6)]

Width = Annotated[int, WHOLE, Field(ge=1, le=4096)]  # channels, or numbers of a layer
LatentDim = Annotated[int, WHOLE, Field(ge=1, le=4096)]
Layers = Annotated[int, WHOLE, Field(ge=0, le=64)]
Depth = Annotated[int, WHOLE, Field(ge=1, le=10)]  # halvings of an image
SolverSteps = Annotated[int, WHOLE, Field(ge=1, le=1000)]

Components = Annotated[int, WHOLE, Field(ge=1, le=2**16)]  # of a mixture, a codebook, a prior
TreeDepth = Annotated[int, WHOLE, Field(ge=1, le=1000)]
Factor = Annotated[float, REAL, Field(ge=0, le=100)]  # on a bandwidth
Variance = Annotated[float, REAL, Field(gt=0, le=1)]  # in units of the latents' own

Side = Annotated[int, WHOLE, Field(ge=1, le=4096)]  # pixels
Shift = Annotated[int, WHOLE, Field(ge=0, le=1024)]  # pixels
Pixels = Annotated[float, REAL, Field(ge=0, le=1024)]
Degrees = Annotated[float, REAL, Field(ge=0, le=180)]
Share = Annotated[float, REAL, Field(ge=0, le=1)]
Copies = Annotated[int, WHOLE, Field(ge=0, le=100)]  # of each image
Ratio = Annotated[int, WHOLE, Field(ge=1, le=1000)]

Repetitions = Annotated[int, WHOLE, Field(ge=1, le=1000)]
Trials = Annotated[int, WHOLE, Field(ge=1, le=10_000)]

Port = Annotated[int, WHOLE, Field(ge=0, le=65_535)]
Seconds = Annotated[int, WHOLE, Field(ge=1, le=10**6)]


def whole_number(what: str, value: Any, least: int, most: int) -> int:
    """An argument of a function, as the options of a run are checked.

    Args:
        what: it is called, for the error.
        value: of Python or numpy.
        least: of the values that are taken.
        most: of them.

    Raises:
        InputError: it is no whole number, or out of range.
    """
    try:
        found = _whole(value)
    except ValueError as error:
        raise InputError(f"{what} is {value!r}, {error}: give one from {least} to {most}") from None
    if not least <= found <= most:
        raise InputError(f"{what} is {found}, expected {least} to {most}: give another")
    return found


def numbers_in(
    annotation: Any, metadata: tuple[Any, ...] = ()
) -> Iterator[tuple[type, dict[str, float]]]:
    """Every number that a field may hold, also within lists and by name, with its bounds.

    Args:
        annotation: of the field.
        metadata: what stands beside it.

    Yields:
        ``int`` or ``float``, and its narrowest ``gt`` or ``ge`` and ``lt`` or ``le``.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *beside = get_args(annotation)
        own = [m for each in beside for m in (each.metadata if _is_field(each) else [each])]
        yield from numbers_in(inner, (*own, *metadata))
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from numbers_in(part, metadata)
    elif origin in (tuple, list, dict):
        for part in get_args(annotation):
            if part is not Ellipsis:
                yield from numbers_in(part)
    elif annotation in (int, float):
        yield annotation, _narrowest(metadata)


def _is_field(each: Any) -> bool:
    return isinstance(each, FieldInfo)


def _narrowest(metadata: tuple[Any, ...]) -> dict[str, float]:
    """Of several lower bounds the highest, and of several upper ones the lowest."""
    found: dict[str, float] = {}
    for signs, choose in ((("gt", "ge"), max), (("lt", "le"), min)):
        # Of two that are equal, the one that leaves it out counts.
        own = [(getattr(m, sign), sign) for sign in signs for m in metadata if hasattr(m, sign)]
        if own:
            value, sign = choose(own, key=lambda pair: pair[0])
            found[sign] = value
    return found

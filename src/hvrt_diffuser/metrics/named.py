"""Measures of features by name: the project's own, those of installed packages, and a user's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import Registry
from hvrt_diffuser.metrics.frechet import frechet_distance, frechet_distance_at_infinity
from hvrt_diffuser.metrics.inception import inception_score
from hvrt_diffuser.metrics.kernels import kernel_distance, mmd
from hvrt_diffuser.metrics.manifold import manifold
from hvrt_diffuser.metrics.samples import Array
from hvrt_diffuser.metrics.sliced import sliced_wasserstein
from hvrt_diffuser.metrics.two_sample import classifier_test, nearest_neighbour_test
from hvrt_diffuser.metrics.variety import vendi_score

__all__ = ["METRICS", "Metric", "named_metrics"]


@dataclass(frozen=True)
class Metric:
    """A function of features, and how to read what it gives.

    Attributes:
        function: of real features (m, f), synthetic ones (n, f) and ``seed``; gives a number,
            several by name, or None of rows that are too few.
        what: the question that it answers.
        direction: which values are good; None where neither end is.
        range: the lowest and the highest value.
        takes: ``probabilities``: instead of features, those of the classes, (m, k) and (n, k).
        alone: whether it looks at the synthetic rows alone, and makes sense of real ones too.
        stream: of its random numbers; nothing is that of its name.
        title: what it is called where people read; nothing is its name.
    """

    function: Callable[..., Any]
    what: str = ""
    direction: Literal["low", "high"] | None = None
    range: tuple[float, float] = (-inf, inf)
    takes: Literal["features", "probabilities"] = "features"
    alone: bool = False
    stream: str = ""
    title: str = ""

    def __call__(
        self, real: Array, synthetic: Array, *, seed: int
    ) -> float | dict[str, float] | None:
        """Measure.

        Raises:
            InputError: rows that the function refuses, or a value that is no number.
        """
        found = self.function(real, synthetic, seed=seed)
        parts = found._asdict() if hasattr(found, "_asdict") else found
        try:
            if isinstance(parts, Mapping):
                return {part: float(value) for part, value in parts.items()}
            return None if parts is None else float(parts)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the metric {getattr(self.function, '__name__', self.function)} gave a "
                f"{type(found).__name__}, expected a number, numbers by name or None: correct it"
            ) from error


METRICS: Registry[Any] = Registry("metric", "hvrt_diffuser.metrics", ())


def named_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """Metrics by the key of their figures.

    Args:
        names: in :data:`METRICS`, of an entry point ``hvrt_diffuser.metrics``, or the path of a
            function ``(real, synthetic, *, seed)``, or of a class whose objects are such functions;
            either may have attributes as :class:`Metric` has. The key of a path is its last part.

    Raises:
        InputError: an unknown name, something that is no function, or two of one key.
    """
    found: dict[str, Metric] = {}
    for name in dict.fromkeys(names):
        key = re.split("[.:]", name)[-1]
        if key in found:
            raise InputError(
                f"two metrics are called {key}, the other one is {name}, expected a name for each "
                "figure: leave one out, or rename it"
            )
        found[key] = _metric(name, METRICS.find(name))
    return found


def _metric(name: str, entry: Any) -> Metric:
    if isinstance(entry, Metric):
        return entry
    function = entry() if isinstance(entry, type) else entry
    if not callable(function):
        raise InputError(
            f"the metric {name} is a {type(function).__name__}, expected a function "
            "(real, synthetic, *, seed) or a class of such: correct the path"
        )
    what = (function.__doc__ or "").strip().split("\n")[0]
    names = [field.name for field in fields(Metric)[1:]]
    own = {key: getattr(function, key) for key in names if hasattr(function, key)}
    return Metric(function, **{"what": what, **own})


OWN = {
    "fd": Metric(
        lambda real, x, seed: frechet_distance(x, real),
        "do mean and covariance agree?",
        "low",
        (0, inf),
        title="Fréchet distance",
    ),
    "fd_at_infinity": Metric(
        lambda real, x, seed: (
            frechet_distance_at_infinity(x, real, seed=seed) if len(x) // 2 > x.shape[1] else None
        ),
        "do mean and covariance agree, for infinitely many images?",
        "low",
        stream="infinity",
        title="Fréchet distance for infinitely many images",
    ),
    "kid": Metric(
        lambda real, x, seed: kernel_distance(x, real, seed=seed),
        "do the distributions agree, under a cubic kernel? without bias, with a deviation",
        "low",
        stream="kernel",
        title="kernel distance (KID)",
    ),
    "inception_score": Metric(
        lambda real, x, seed: inception_score(x),
        "is each image sure, and are the classes even?",
        "high",
        (1, inf),
        takes="probabilities",
        alone=True,
        title="inception score",
    ),
    "manifold": Metric(
        lambda real, x, seed: manifold(real, x),
        "precision, recall, density and coverage, with 5 neighbours",
        "high",
        (0, inf),
        title="overlap with real images",
    ),
    "vendi": Metric(
        lambda real, x, seed: vendi_score(x),
        "how many different images are there in effect?",
        "high",
        (1, inf),
        alone=True,
        title="Vendi score: images that differ, in effect",
    ),
    "mmd": Metric(
        lambda real, x, seed: mmd(x, real, seed=seed),
        "do the distributions agree, under a Gaussian kernel?",
        "low",
        (-2, 2),
        title="maximum mean discrepancy (MMD)",
    ),
    "sliced_wasserstein": Metric(
        lambda real, x, seed: sliced_wasserstein(x, real, seed=seed),
        "how far would images have to move, along random directions?",
        "low",
        (0, inf),
        stream="sliced",
        title="sliced Wasserstein distance",
    ),
    "classifier_test": Metric(
        lambda real, x, seed: classifier_test(x, real, seed=seed),
        "can a classifier tell them apart? 0.5 is no",
        "low",
        (0, 1),
        stream="two_sample",
        title="told apart by a classifier",
    ),
    "nearest_neighbour_test": Metric(
        lambda real, x, seed: nearest_neighbour_test(x, real, seed=seed),
        "do neighbours tell them apart? 0.5 is no, and near copies are below it",
        None,
        (0, 1),
        stream="two_sample",
        title="told apart by neighbours",
    ),
}
for own, metric in OWN.items():
    METRICS.add(own, metric)

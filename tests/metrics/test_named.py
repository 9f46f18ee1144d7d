"""Metrics by name: what each one says of itself holds, and a user's own takes part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.metrics import METRICS, Metric, frechet_distance, named_metrics

Array = np.ndarray[Any, np.dtype[Any]]

PAGE = Path(__file__).parents[2] / "docs" / "judge.md"
MORE = """

class Sizes:
    takes = "probabilities"
    range = (0, 100)

    def __call__(self, real, synthetic, *, seed):
        return {"real": len(real), "synthetic": len(synthetic), "seed": seed}

def fd(real, synthetic, *, seed):
    return [1.0, 2.0]

nothing = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    example = PAGE.read_text().split("my_metrics.py`:\n\n```python\n")[1].split("```")[0]
    (tmp_path / "my_metrics.py").write_text(example + MORE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    return "my_metrics"


def rows(metric: Metric, n: int, seed: int, spoilt: bool = False) -> Array:
    """Features or probabilities; spoilt ones are far from the rest, and alike or unsure."""
    source = np.random.default_rng(seed)
    if metric.takes == "features":
        x = source.standard_normal((n, 4))
        return 0.1 * x + 3 if spoilt else x
    scores = np.full((n, 4), 0.25) if spoilt else np.eye(4)[source.integers(0, 4, n)]
    return scores


@pytest.mark.parametrize("name", METRICS.names())
def test_values_lie_in_the_range_and_the_good_end_is_that_of_like_rows(name: str) -> None:
    metric = named_metrics([name])[name]
    real = rows(metric, 300, 0)
    values = []
    for synthetic in (rows(metric, 250, 1), rows(metric, 250, 2, spoilt=True)):
        found = metric(real, synthetic, seed=0)
        assert found is not None
        parts = found if isinstance(found, dict) else {"": found}
        low, high = metric.range
        assert all(low <= value <= high for value in parts.values())
        values.append(next(iter(parts.values())))
    like, unlike = values
    assert metric.direction is None or (like < unlike) == (metric.direction == "low")
    assert metric.what


@pytest.mark.parametrize("name", METRICS.names())
def test_one_that_looks_at_synthetic_rows_alone_does_not_see_the_others(name: str) -> None:
    metric = named_metrics([name])[name]
    found = [metric(rows(metric, 300, 0, s), rows(metric, 250, 1), seed=0) for s in (False, True)]
    assert (found[0] == found[1]) == metric.alone


def test_the_distance_at_infinity_of_few_rows_is_none() -> None:
    metric = named_metrics(["fd_at_infinity"])["fd_at_infinity"]
    assert metric(np.eye(5), np.eye(5)[[0, 1, 2, 3, 4, 0, 1, 2]], seed=0) is None


def test_the_synthetic_rows_are_the_first_of_the_frechet_distance() -> None:
    metric = named_metrics(["fd"])["fd"]
    real, synthetic = rows(metric, 30, 0), rows(metric, 40, 1)
    assert metric(real, synthetic, seed=0) == frechet_distance(synthetic, real)


def test_a_function_of_ones_own_is_a_metric(own: str) -> None:
    found = named_metrics(["fd", f"{own}:spread"])
    assert list(found) == ["fd", "spread"]
    metric = found["spread"]
    assert metric(np.eye(3), 2 * np.eye(3), seed=0) == 2.0
    assert type(metric(np.eye(3), np.eye(3), seed=0)) is float
    assert (metric.what, metric.direction) == ("How wide are they, relative to real ones?", "high")
    assert metric.range == (-np.inf, np.inf)


def test_a_class_of_ones_own_is_a_metric(own: str) -> None:
    metric = named_metrics([f"{own}.Sizes"])["Sizes"]
    assert (metric.takes, metric.range) == ("probabilities", (0, 100))
    found = metric(np.eye(3), np.eye(5), seed=7)
    assert found == {"real": 3.0, "synthetic": 5.0, "seed": 7.0}


@pytest.mark.parametrize(
    ("names", "fact"),
    [
        (["kidd"], "there is no metric called 'kidd'.*did you mean kid"),
        (["fd", "my_metrics:fd"], "two metrics are called fd"),
        (["my_metrics:nothing"], "my_metrics:nothing is a int, expected a function"),
        (["my_metrics:absent"], "absent"),
    ],
)
def test_what_is_no_metric_is_refused(own: str, names: list[str], fact: str) -> None:
    with pytest.raises(InputError, match=fact):
        named_metrics(names)


def test_a_value_that_is_no_number_is_refused(own: str) -> None:
    metric = named_metrics([f"{own}:fd"])["fd"]
    with pytest.raises(InputError, match="the metric fd gave a list, expected a number"):
        metric(np.eye(3), np.eye(3), seed=0)

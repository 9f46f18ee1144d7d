"""Distances between many rows never stand in memory at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ROWS = 14_000  # 1.6 GB of distances in float64
BOUND = 0.7  # GB

SCRIPT = """
import resource, sys
import numpy as np
from hvrt_diffuser import metrics

def peak():
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found / 1e9 if sys.platform == "darwin" else found / 1e6

def call(a, b):
    return {call}

a, b = np.random.default_rng(0).standard_normal((2, {rows}, 2))
call(a[:50], b[:50])
before = peak()
call(a, b)
print(peak() - before)
"""


@pytest.mark.parametrize(
    "call",
    [
        "metrics.manifold(a, b)",
        "metrics.mmd(a, b, seed=0)",
        "metrics.nearest_neighbour_test(a, b, seed=0)",
        "metrics.novelty(a, b, b[::2] + 1)",
    ],
)
@pytest.mark.slow
def test_it_takes_a_fraction_of_the_memory_of_all_distances(call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=call, rows=ROWS)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < BOUND

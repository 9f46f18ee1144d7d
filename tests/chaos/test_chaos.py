"""A few kills and broken inputs; ``make chaos`` takes hundreds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_few_kills_and_broken_inputs(tmp_path: Path) -> None:
    output = tmp_path / "chaos.json"
    few = ("--seed", "0", "--kills", "4", "--inputs", "25")
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *few, "--output", str(output), "--folder", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.exists(), done.stderr
    found = json.loads(output.read_text())
    assert found["failures"] == []
    assert (found["kills"], found["identical"], found["inputs"]) == (4, 4, 25)

"""What is measured of scale: memory that does not grow with images, and a record of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hvrt_diffuser.common import scratch
from hvrt_diffuser.common.machine import STATUS
from hvrt_diffuser.experiments.scale import memory
from hvrt_diffuser.experiments.scale.memory import measured
from hvrt_diffuser.experiments.scale.record import line, record

FEW, MANY = 2_000, 6_000  # several row groups of a parquet file
BYTES = (MANY - FEW) * 3 * 64 * 64 / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell")
@pytest.mark.parametrize(
    "stage",
    [
        "folder",
        "parquet",
        "holding_out",
        "encoding",
        "fitting",
        "drawing",
        "synthetic",
    ],
)
def test_more_images_take_no_more_memory(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "SMALL", 0)
    # What an allocator keeps comes on top, now and then.
    many, few = (min(measured(stage, n).added for _ in range(2)) for n in (MANY, FEW))
    assert many - few < 0.3 * BYTES


def test_growth_is_from_the_fewest_images_on_record_to_the_most() -> None:
    lines = [
        line(f"Drawing: {n:,} images, {what}", value, "", "")
        for n, peak, time in ((300_000, 5, 9), (1000, 200, 2), (100_000, 300, 200))
        for what, value in (("peak_mb", peak), ("time", time))
    ]
    lines.append(line("Drawing more: 7 images, time", 1, "s", ""))
    ratio, exponent = memory._growth("Drawing", lines)
    assert (ratio["value"], ratio["unit"]) == (0.025, "ratio")
    assert exponent["value"] == pytest.approx(0.264, abs=1e-3)  # ln 4.5 / ln 300
    assert memory._growth("Drawing", lines[:2]) == []
    lines += [
        line(f"Drawing: {n:,} images, time at work", value, "", "")
        for n, value in ((1000, 2), (300_000, 2 * 300**0.5))
    ]
    *_, at_work = memory._growth("Drawing", lines)
    assert at_work["name"] == "Drawing: growth of time at work from fewest to most"
    assert at_work["value"] == pytest.approx(0.5, abs=1e-3)


def test_lines_take_the_place_of_those_of_their_name(tmp_path: Path) -> None:
    output = tmp_path / "results" / "scale.json"
    record([line("a", 1.23456, "MB", "one"), line("b", 2, "s", "two")], output)
    record([line("a", 3, "MB", "three")], output)
    assert json.loads(output.read_text()) == [
        {"name": "b", "value": 2, "unit": "s", "command": "two"},
        {"name": "a", "value": 3, "unit": "MB", "command": "three"},
    ]

"""What a bar says of how fast work goes."""

from __future__ import annotations

import pytest

from hvrt_diffuser.common.progress import rate


@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (None, ""),
        (0.0, ""),
        (12.34, "12.3/s"),
        (1.0, "1.0/s"),
        (0.5, "30.0/min"),
        (1 / 120, "30.0/h"),
        (1 / 7200, "0.5/h"),
    ],
)
def test_a_rate_has_a_unit_in_which_it_can_be_read(speed: float | None, said: str) -> None:
    assert rate(speed) == said

"""Images that are too many for memory lie in a file that nobody sees and nobody has to remove."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hvrt_diffuser.common import scratch as module
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.scratch import scratch, take_rows


@pytest.mark.parametrize("small", [0, 2**26])
def test_rows_are_those_asked_for_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(module, "SMALL", small)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    images = torch.randint(0, 256, (3000, 1, 4, 4), dtype=torch.uint8)
    rows = torch.randperm(3000)[:2500]
    found = take_rows(images, rows)
    assert torch.equal(found, images[rows])
    assert not list(tmp_path.iterdir())


def test_no_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match=r"did not fit into .*set TMPDIR"):
        scratch((2**62, 1))
    assert not list(tmp_path.iterdir())

"""A changed bit of a sealed file is found, wherever it is."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from kedro.io import DatasetError

from hvrt_diffuser.catalog.reports import TableDataset
from hvrt_diffuser.catalog.synthetic import ImageStream, SyntheticImagesDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.sealed import SEAL, check_seal, seal
from hvrt_diffuser.common.terminal import describe


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"before, " + SEAL.encode() + b", and after")
    seal(path)
    return path


def test_every_bit_counts(sealed: Path) -> None:
    check_seal(sealed)
    whole = sealed.read_bytes()
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        sealed.write_bytes(changed)
        with pytest.raises(InputError, match="expected a file with a checksum"):
            check_seal(sealed)


def test_what_is_cut_short_longer_or_of_somebody_else_is_refused(sealed: Path) -> None:
    whole = sealed.read_bytes()
    for data in (b"", whole[:40], whole[:-1], whole + b"\0", whole[1:], b"PAR1" + bytes(99)):
        sealed.write_bytes(data)
        with pytest.raises(InputError, match=r"file (was changed|is cut short).+: move it away"):
            check_seal(sealed)


def _table(path: Path) -> TableDataset:
    file = TableDataset(filepath=str(path))
    file.made_by = {"parameters": {"seed": 1}, "files": {}}
    file.save(pd.DataFrame({"z_000": torch.randn(500).numpy(), "label": range(500)}))
    return file


def _images(path: Path) -> SyntheticImagesDataset:
    file = SyntheticImagesDataset(str(path))
    images = torch.randint(256, (20, 1, 8, 8)).to(torch.uint8)
    file.save(ImageStream([(images, torch.arange(20) % 2)], ("a", "b")))
    return file


@pytest.mark.parametrize("make", [_table, _images])
def test_a_flipped_bit_of_a_table_or_of_images_is_told(make: type, tmp_path: Path) -> None:
    """Statistics and headers of pages among them, which no checksum of parquet covers."""
    path = tmp_path / "file.parquet"
    file = make(path)
    file.load()
    whole = path.read_bytes()
    for place in range(0, len(whole), 41):
        changed = bytearray(whole)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(DatasetError) as refused:
            file.load()
        said = describe(refused.value)
        assert said is not None
        assert re.fullmatch(r".+file\.parquet (was changed|is cut short).+expected .+: .+", said)

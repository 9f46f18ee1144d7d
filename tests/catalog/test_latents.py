"""A table of latents on disk: what a plain reader finds, written by parts, and back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
import torch
from kedro.io import DatasetError

from hvrt_diffuser.catalog import LatentsDataset, TableDataset, check_latents_table
from hvrt_diffuser.catalog import latents as module
from hvrt_diffuser.catalog.latents import latents_to_table, table_to_latents
from hvrt_diffuser.common import scratch
from hvrt_diffuser.common.errors import InputError


def saved(path: Path, table: pd.DataFrame, kind: type[TableDataset] = LatentsDataset) -> Any:
    dataset: Any = kind(filepath=str(path))
    dataset.save(table)
    return dataset


def table_of(n: int, d: int = 3) -> pd.DataFrame:
    latents = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    table = latents_to_table(latents, torch.arange(n) % 2)
    table.attrs = {"autoencoder": "abc"}
    return table


@pytest.mark.parametrize("n", [0, 1, 10, 11])
@pytest.mark.parametrize("small", [0, scratch.SMALL])  # bytes that stay in memory
def test_what_is_loaded_is_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, small: int
) -> None:
    if n:  # a file of no bytes cannot be mapped
        monkeypatch.setattr(scratch, "SMALL", small)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 5)
    table = table_of(n)
    found = saved(tmp_path / "latents.parquet", table).load()
    pd.testing.assert_frame_equal(found, table)
    assert found.attrs["autoencoder"] == "abc"
    assert check_latents_table(found) is found
    for ours, theirs in zip(table_to_latents(found), table_to_latents(table), strict=True):
        assert torch.equal(ours, theirs)
    plain = pd.read_parquet(tmp_path / "latents.parquet")
    pd.testing.assert_frame_equal(plain, table)
    assert plain.attrs["autoencoder"] == "abc"
    with pyarrow.parquet.ParquetFile(tmp_path / "latents.parquet") as file:
        assert file.num_row_groups == -(-n // 5)


def test_a_table_by_one_row_group_is_read_as_well(tmp_path: Path) -> None:
    table = table_of(12)
    saved(tmp_path / "latents.parquet", table, TableDataset)
    found = LatentsDataset(filepath=str(tmp_path / "latents.parquet")).load()
    pd.testing.assert_frame_equal(found, table)


def test_latents_are_no_window_into_their_table() -> None:
    table = table_of(4)
    latents, labels = table_to_latents(table)
    latents.zero_(), labels.zero_()
    pd.testing.assert_frame_equal(table, table_of(4))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda table: table.astype({"z_001": "float64"}), "z_001"),
        (lambda table: table.drop(columns="label"), "label"),
        (lambda table: table.rename(columns={"z_001": "w"}), "w"),
        (lambda table: table.replace({"label": {1: -1}}), "label"),
        (lambda table: table.assign(z_001=table["z_001"].where(table.index != 3)), "z_001"),
    ],
)
def test_another_table_is_told_by_the_check(tmp_path: Path, changed: Any, said: str) -> None:
    found = saved(tmp_path / "latents.parquet", changed(table_of(10))).load()
    with pytest.raises(InputError, match=f"a table of latents fails at .*{said}"):
        check_latents_table(found)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    dataset = saved(tmp_path / "latents.parquet", table_of(10))
    path = tmp_path / "latents.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="changed or damaged"):
        dataset.load()

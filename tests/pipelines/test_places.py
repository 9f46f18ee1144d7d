"""What lies in the way of an output is told before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import MemoryDataset

from hvrt_diffuser.catalog import (
    CheckpointDataset,
    MetricsDataset,
    PathDataset,
    SavedDataset,
    TableDataset,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, whole_file
from hvrt_diffuser.pipelines.places import check_places

FILES: dict[str, Any] = {
    "model": lambda path: SavedDataset(path, "hvrt_diffuser.diffuser.load_generator"),
    "metrics": lambda path: MetricsDataset(filepath=path),
    "table": lambda path: TableDataset(filepath=path),
    "checkpoint": CheckpointDataset,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path, kind: str) -> None:
    catalog = {"it": FILES[kind]((tmp_path / "deep" / "it").as_posix())}
    check_places(catalog, catalog)
    (tmp_path / "deep" / "it").mkdir(parents=True)
    with pytest.raises(InputError, match=r"deep/it is a folder, where it .*: move it away"):
        check_places(catalog, catalog)


@pytest.mark.parametrize("kind", [*FILES, "folder"])
def test_a_file_above_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "deep").write_text("mine")
    make = {**FILES, "folder": PathDataset}[kind]
    catalog = {"it": make((tmp_path / "deep" / "more" / "it").as_posix())}
    with pytest.raises(InputError, match=r"deep is a file, where it needs a folder: move it away"):
        check_places(catalog, catalog)


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "entries").write_text("mine")
    catalog = {"it": PathDataset((tmp_path / "entries").as_posix()), "other": MemoryDataset(1)}
    with pytest.raises(InputError, match=r"entries is a file, where it needs a folder"):
        check_places(catalog, catalog)
    check_places({}, ["parameters", "params:seed"])


def test_what_is_written_and_read_tells_it_as_well(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="model is a folder, where a file of kind 'x'"):
        read_tensors(tmp_path / "model", "x")
    for place, said in (("model", "model is a folder"), ("file/it", "file is a file")):
        with (
            pytest.raises(OSError, match=rf"{said}, where .* nothing was replaced: move it away"),
            whole_file(tmp_path / place) as temporary,
        ):
            temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "mine"
    assert [*(tmp_path / "model").iterdir()] == []

"""Files that are read back hold what is expected of them, or one sentence says that they do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DatasetError
from kedro.utils import load_obj

from hvrt_diffuser.catalog import MetricsDataset, SyntheticImagesDataset, TableDataset
from hvrt_diffuser.common.contents import Evaluation, ReportSummary, read_content
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.terminal import describe
from hvrt_diffuser.experiments.ledger import Ledger, Work
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
JSON = "hvrt_diffuser.catalog.MetricsDataset"


def entries() -> dict[str, dict[str, Any]]:
    loader = OmegaConfigLoader(str(CONF), env="test", **CONFIG_LOADER_ARGS)
    found: dict[str, dict[str, Any]] = loader["catalog"]
    return {name: entry for name, entry in found.items() if entry["type"] == JSON}


ENTRIES = entries()
FOREIGN = {
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "a text": b'"rows"',
    "an empty object": b"{}",
    "of another program": b'{"name": "x", "version": 3}',
    "nothing": b"",
    "cut short": b'{"rows": [{"row": "real", ',
    "binary": bytes(range(256)),
    "far too deep": b"[" * 100_000,
}
READ_BACK = [name for name, entry in ENTRIES.items() if not entry["content"].endswith(".Content")]


def told(call: Callable[[], Any]) -> str:
    """What the terminal shows of it: Kedro has an error of its own around ours."""
    with pytest.raises((DatasetError, InputError)) as caught:
        call()
    said = describe(caught.value)
    assert said is not None and "\n" not in said and len(said) < 600
    return said


def dataset(name: str, path: Path) -> MetricsDataset:
    entry = {k: v for k, v in ENTRIES[name].items() if k not in ("type", "metadata", "supersedes")}
    return MetricsDataset(**{**entry, "filepath": path.as_posix()})


def test_every_json_of_the_catalog_says_what_it_holds() -> None:
    assert all("content" in entry for entry in ENTRIES.values())
    assert {"evaluation_metrics", "tstr_metrics", "report_metrics", "stages", "nodes"} <= {
        *READ_BACK
    }
    assert all(load_obj(entry["content"]) for entry in ENTRIES.values())


@pytest.mark.parametrize("name", READ_BACK)
@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_refused_in_one_sentence(tmp_path: Path, name: str, case: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(FOREIGN[case])
    own = dataset(name, path)
    said = told(own.load)
    assert said.startswith(str(path))
    assert "run the pipeline that writes it" in said
    assert not own.exists(), "what is no file of ours is made again"


@pytest.mark.parametrize("name", READ_BACK)
def test_a_folder_in_its_place_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.json"
    path.mkdir()
    assert "is a folder, expected a JSON file: move it away" in told(dataset(name, path).load)
    said = told(lambda: dataset(name, path).save({"rows": []}))
    assert "is a folder, where file.json was to be written" in said
    assert [*path.iterdir()] == []


@pytest.mark.parametrize("made_by", [7, [], "seed", None])
def test_a_header_that_is_none_counts_for_nothing(tmp_path: Path, made_by: Any) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"rows": [], "made_by": made_by}))
    own = dataset("balance_metrics", path)
    assert own.load() == {"rows": []}
    assert own.read_made_by() is None


def evaluation(**changes: Any) -> dict[str, Any]:
    own = {"e": None, "low": None, "high": None, "n": 3, "reason": "few"}
    return {
        "origin": {"sampler": "hvrt"},
        "images": "0f",
        "n": {"test": 3},
        "classes": ["a"],
        "missing_classes": [],
        "label_agreement": None,
        "likeness": {"random": own},
        "copies": {},
        "membership": {},
        "per_class": {"a": {"test": {"n": 3}}},
        "fd_classifier": {"synthetic": 1.5},
        "of one's own": [1],
        **changes,
    }


def test_what_is_there_beside_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation()))
    assert read_content(path, Evaluation) == evaluation()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"likeness": {"random": None}}, "likeness.random"),
        ({"likeness": []}, "likeness"),
        ({"fd_classifier": {"synthetic": "low"}}, "fd_classifier.synthetic"),
        ({"fd_classifier": {"synthetic": float("nan")}}, "fd_classifier.synthetic"),
        ({"per_class": {"a": 7}}, "per_class.a"),
        ({"copies": None}, "copies"),
    ],
)
def test_a_part_that_is_none_is_named(tmp_path: Path, change: dict[str, Any], place: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation(**change)))
    with pytest.raises(InputError, match=rf"than the contents of evaluation\.json \({place}: "):
        read_content(path, Evaluation)


@pytest.mark.parametrize("case", FOREIGN)
def test_a_list_of_runs_knows_nothing_of_a_foreign_report(tmp_path: Path, case: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(FOREIGN[case])
    with pytest.raises(InputError):
        read_content(path, ReportSummary)


# ---- tables and images


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    path = (tmp_path / "history.parquet").as_posix()
    own = TableDataset(filepath=path, needs=["epoch", "train_loss"])
    pd.DataFrame({"epoch": [1], "train_loss": [0.5]}).to_parquet(path)
    assert "of an earlier version or foreign" in told(own.load)
    own.save(pd.DataFrame({"a": [1]}))
    assert "no column epoch, expected rows with epoch, train_loss" in told(own.load)
    own.save(pd.DataFrame({"epoch": [], "train_loss": []}))
    assert "has 0 rows" in told(own.load)
    own.save(pd.DataFrame({"epoch": [1], "train_loss": [0.5]}))
    assert len(own.load()) == 1


@pytest.mark.parametrize("kind", ["table", "synthetic"])
def test_a_folder_in_the_place_of_a_table_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    path.mkdir()
    own: Any = TableDataset(filepath=path.as_posix())
    own = own if kind == "table" else SyntheticImagesDataset(path.as_posix())
    assert "is a folder, expected a file" in told(own.load)


def test_foreign_images_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    header = {b"huggingface": b'{"info": {"features": {"label": {"names": ["a", "b"]}}}}'}
    table = pa.table({"image": [{"bytes": b"no png"}], "label": [0]})
    pq.write_table(table.replace_schema_metadata(header), path)
    said = told(SyntheticImagesDataset(path.as_posix()).load)
    assert "of an earlier version or foreign" in said


# ---- the ledger of experiments


@pytest.mark.parametrize("case", [*FOREIGN, "a folder"])
def test_a_foreign_entry_of_the_ledger_is_told(tmp_path: Path, case: str) -> None:
    ledger = Ledger(tmp_path)
    work = Work({"a": 1}, 1, frozenset({"fd"}), lambda *_: ({"fd": 1.0}, None), "")
    path = ledger.path(work.identity)
    path.mkdir() if case == "a folder" else path.write_bytes(FOREIGN[case])
    with pytest.raises(InputError, match="holds no entry of an experiment: delete it"):
        ledger.fill([work], "measuring")
